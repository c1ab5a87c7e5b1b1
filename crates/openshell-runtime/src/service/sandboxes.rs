//! Create, get, list, delete, stop, start.

use std::sync::Arc;
use std::time::Instant;

use openshell_proto::openshell::v1 as proto;
use prost::Message;
use tokio::sync::oneshot;
use tonic::Status;
use tracing::Instrument as _;

use super::Api;
use super::page::Page;
use super::status::{
    list_too_large, no_sandbox, no_workspace, of_driver, of_random, of_settled, of_store, stopping,
    workspace_going,
};
use crate::clock::now_ms;
use crate::engine::{Engine, Pace};
use crate::lifecycle::{DEFAULT_WORKSPACE, Life, Phase, Request};
use crate::store::{Filter, Inserted, Record};
use crate::usage::{UsageAction, UsageEvent, UsageOutcome};
use crate::{names, spec, view};

/// The most bytes of sandboxes in one list. Clients can make them large: what is held in memory for one request, and sent
/// in one message, is bounded.
const MAX_LIST: usize = 32 * 1024 * 1024;

/// How often a generated name may be taken.
const NAME_ATTEMPTS: usize = 8;

impl Api {
    pub(super) async fn create(
        &self,
        request: proto::CreateSandboxRequest,
    ) -> Result<proto::SandboxResponse, Status> {
        workspace(&request.workspace)?;
        spec::check(&request, &self.engine.settings.config_key).map_err(Status::invalid_argument)?;
        let (sender, created) = oneshot::channel();
        let engine = Arc::clone(&self.engine);
        // A client that goes away between the row and the call would otherwise leave the one without the other.
        let task = async move {
            let _gone = sender.send(create(&engine, request).await);
        };
        let started = self.engine.spawn(task.in_current_span());
        if !started {
            return Err(stopping());
        }
        let record = created.await.map_err(|_| stopping())??;
        Ok(self.response(record))
    }

    pub(super) async fn get(
        &self,
        request: proto::GetSandboxRequest,
    ) -> Result<proto::SandboxResponse, Status> {
        let record = self.find(&request.workspace, &request.name).await?;
        Ok(self.response(record))
    }

    pub(super) async fn list(
        &self,
        request: proto::ListSandboxesRequest,
    ) -> Result<proto::ListSandboxesResponse, Status> {
        let Page { limit, offset, selector } =
            Page::read(request.limit, request.offset, &request.label_selector)?;
        let workspace =
            if request.all_workspaces { None } else { Some(workspace(&request.workspace)?.to_owned()) };
        let filter = Filter { workspace, selector, limit, offset };
        let listed = self.engine.store.read(move |db| match &filter.workspace {
            Some(workspace) if db.is_active(workspace)?.is_none() => Ok(Err(no_workspace(workspace))),
            _ => Ok(db.list(&filter, MAX_LIST)?.ok_or_else(|| list_too_large(filter.limit))),
        });
        let records = listed.await.map_err(|error| of_store(&error))??;
        let driver_name = &self.engine.settings.driver_name;
        let sandboxes = records.into_iter().map(|record| view::sandbox(record, driver_name)).collect();
        Ok(proto::ListSandboxesResponse { sandboxes })
    }

    pub(super) async fn delete(
        &self,
        request: proto::DeleteSandboxRequest,
    ) -> Result<proto::DeleteSandboxResponse, Status> {
        let found = self.find(&request.workspace, &request.name).await?;
        match self.ask(&found, Request::Delete).await {
            Ok(_) => Ok(proto::DeleteSandboxResponse { deleted: true }),
            // It was there when the request came, and is gone now: that is what was asked for.
            Err(status) if status.code() == tonic::Code::NotFound => {
                Ok(proto::DeleteSandboxResponse { deleted: true })
            }
            Err(status) => Err(status),
        }
    }

    pub(super) async fn stop(
        &self,
        request: proto::StopSandboxRequest,
    ) -> Result<proto::SandboxResponse, Status> {
        let found = self.find(&request.workspace, &request.name).await?;
        Ok(self.response(self.ask(&found, Request::Stop).await?))
    }

    pub(super) async fn start(
        &self,
        request: proto::StartSandboxRequest,
    ) -> Result<proto::SandboxResponse, Status> {
        let found = self.find(&request.workspace, &request.name).await?;
        Ok(self.response(self.ask(&found, Request::Start).await?))
    }

    async fn ask(&self, record: &Record, request: Request) -> Result<Record, Status> {
        let settled = self.engine.request(&record.id, request).await;
        of_settled(settled, &record.name, &self.engine.settings.driver_name)
    }

    async fn find(&self, in_workspace: &str, name: &str) -> Result<Record, Status> {
        let workspace = workspace(in_workspace)?.to_owned();
        if name.is_empty() {
            return Err(Status::invalid_argument("the name of the sandbox is empty"));
        }
        names::check(name).map_err(Status::invalid_argument)?;
        let key = name.to_owned();
        let found = self.engine.store.read(move |db| {
            let found = db.by_name(&workspace, &key)?;
            let in_nothing = found.is_none() && db.is_active(&workspace)?.is_none();
            Ok(if in_nothing { Err(no_workspace(&workspace)) } else { Ok(found) })
        });
        found.await.map_err(|error| of_store(&error))??.ok_or_else(|| no_sandbox(name))
    }

    fn response(&self, record: Record) -> proto::SandboxResponse {
        let sandbox = view::sandbox(record, &self.engine.settings.driver_name);
        proto::SandboxResponse { sandbox: Some(sandbox) }
    }
}

/// The workspace that a request means; whether it is there, the store says.
fn workspace(asked: &str) -> Result<&str, Status> {
    if asked.is_empty() {
        return Ok(DEFAULT_WORKSPACE);
    }
    names::check(asked).map_err(|fault| Status::invalid_argument(format!("`workspace`: {fault}")))?;
    Ok(asked)
}

/// Validates with the driver, stores, and sets the driver to work.
async fn create(engine: &Arc<Engine>, request: proto::CreateSandboxRequest) -> Result<Record, Status> {
    let now = now_ms();
    let workspace = workspace(&request.workspace)?.to_owned();
    let spec = request.spec.unwrap_or_default();
    if spec.policy.is_some() {
        tracing::warn!(
            "a sandbox comes with a policy, which is kept; there is no supervisor yet that enforces it"
        );
    }
    let mut record = Record {
        id: names::new_id().map_err(of_random)?,
        name: request.name,
        workspace,
        driver: engine.settings.driver_name.clone(),
        spec: spec.encode_to_vec().into(),
        labels: request.labels,
        annotations: request.annotations,
        created_at_ms: now,
        deleted_at_ms: None,
        resource_version: 1,
        life: match &engine.settings.supervision {
            Some(_) => Life::new(now).supervised(),
            None => Life::new(now),
        },
    };
    let given = !record.name.is_empty();
    if !given {
        record.name = names::generate().map_err(of_random)?;
    }
    // Before the driver is asked, which may take its time; what counts is the transaction that stores it.
    let (in_workspace, name) = (record.workspace.clone(), record.name.clone());
    let looked = engine.store.read(move |db| db.would_insert(&in_workspace, &name)).await;
    let would = looked.map_err(|error| of_store(&error))?;
    if would != Inserted::NameTaken || given {
        refusal(would, &record)?;
    }
    validate(engine, &record).await?;
    for _ in 0..NAME_ATTEMPTS {
        let (stored, counting) = (record.clone(), Arc::clone(engine));
        let count = move |inserted: &Inserted| {
            if *inserted == Inserted::Stored {
                counting.counters().entered(Phase::Provisioning);
            }
        };
        let inserted = engine.store.write(move |db| db.insert(&stored), count).await;
        match inserted.map_err(|error| of_store(&error))? {
            Inserted::Stored => {
                tracing::info!(sandbox = record.id, name = record.name, "sandbox is stored");
                engine.drive_in_background(&record.id, Pace::Now);
                return Ok(record);
            }
            Inserted::NameTaken if !given => record.name = names::generate().map_err(of_random)?,
            other => refusal(other, &record)?,
        }
    }
    Err(name_taken(&record))
}

/// Why a sandbox is not stored, if it is not.
fn refusal(inserted: Inserted, record: &Record) -> Result<(), Status> {
    match inserted {
        Inserted::Stored => Ok(()),
        Inserted::NameTaken => Err(name_taken(record)),
        Inserted::NoWorkspace => Err(no_workspace(&record.workspace)),
        Inserted::WorkspaceGoing => Err(workspace_going(&record.workspace)),
    }
}

/// Asks the driver whether it could make it; a no is all that is ever told of such a request.
async fn validate(engine: &Engine, record: &Record) -> Result<(), Status> {
    let begun = Instant::now();
    let asked = async {
        let request = spec::driver_request(record, &engine.settings.config_key)?;
        engine.driver.validate(request).await
    };
    asked.await.map_err(|error| {
        let outcome = UsageOutcome::of(error.kind());
        let event = UsageEvent { action: UsageAction::Create, outcome, took: begun.elapsed() };
        engine.settings.usage.record(event);
        of_driver(&error)
    })
}

fn name_taken(record: &Record) -> Status {
    let Record { name, workspace, .. } = record;
    Status::already_exists(format!("the name `{name}` is taken in the workspace `{workspace}`"))
}
