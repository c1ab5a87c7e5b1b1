//! Create, get, list, delete, stop, start.

use std::sync::Arc;
use std::time::Instant;

use openshell_proto::openshell::v1 as proto;
use prost::Message;
use tokio::sync::oneshot;
use tonic::Status;

use super::Api;
use super::status::{no_sandbox, of_driver, of_random, of_settled, of_store, stopping};
use crate::clock::now_ms;
use crate::engine::Engine;
use crate::lifecycle::{Life, Request};
use crate::selector::Selector;
use crate::store::{Filter, Record};
use crate::usage::{UsageAction, UsageEvent, UsageOutcome};
use crate::{names, spec, view};

/// The workspace that is always there, and so far the only one.
const DEFAULT_WORKSPACE: &str = "default";
/// How many sandboxes a list has that says nothing, and at most.
const LIST: (u32, u32) = (100, 1000);
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
        let started = self.engine.spawn(async move {
            let _gone = sender.send(create(&engine, request).await);
        });
        if !started {
            return Err(stopping());
        }
        let record = created.await.map_err(|_| stopping())??;
        Ok(self.response(&record))
    }

    pub(super) async fn get(
        &self,
        request: proto::GetSandboxRequest,
    ) -> Result<proto::SandboxResponse, Status> {
        let record = self.find(&request.workspace, &request.name).await?;
        Ok(self.response(&record))
    }

    pub(super) async fn list(
        &self,
        request: proto::ListSandboxesRequest,
    ) -> Result<proto::ListSandboxesResponse, Status> {
        let limit = if request.limit == 0 { LIST.0 } else { request.limit.min(LIST.1) };
        let selector = Selector::parse(&request.label_selector).map_err(Status::invalid_argument)?;
        let workspace =
            if request.all_workspaces { None } else { Some(workspace(&request.workspace)?.to_owned()) };
        let filter = Filter { workspace, selector, limit, offset: request.offset };
        let records =
            self.engine.store.read(move |db| db.list(&filter)).await.map_err(|error| of_store(&error))?;
        let driver_name = &self.engine.settings.driver_name;
        let sandboxes = records.iter().map(|record| view::sandbox(record, driver_name)).collect();
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
        Ok(self.response(&self.ask(&found, Request::Stop).await?))
    }

    pub(super) async fn start(
        &self,
        request: proto::StartSandboxRequest,
    ) -> Result<proto::SandboxResponse, Status> {
        let found = self.find(&request.workspace, &request.name).await?;
        Ok(self.response(&self.ask(&found, Request::Start).await?))
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
        let key = name.to_owned();
        let found = self.engine.store.read(move |db| db.by_name(&workspace, &key)).await;
        found.map_err(|error| of_store(&error))?.ok_or_else(|| no_sandbox(name))
    }

    fn response(&self, record: &Record) -> proto::SandboxResponse {
        let sandbox = view::sandbox(record, &self.engine.settings.driver_name);
        proto::SandboxResponse { sandbox: Some(sandbox) }
    }
}

/// The workspace that a request means.
fn workspace(asked: &str) -> Result<&str, Status> {
    match asked {
        "" | DEFAULT_WORKSPACE => Ok(DEFAULT_WORKSPACE),
        other => Err(Status::not_found(format!(
            "there is no workspace `{}`; this gateway has `{DEFAULT_WORKSPACE}` alone",
            other.escape_debug()
        ))),
    }
}

/// Validates with the driver, stores, and sets the driver to work.
async fn create(engine: &Arc<Engine>, request: proto::CreateSandboxRequest) -> Result<Record, Status> {
    let now = now_ms();
    let spec = request.spec.unwrap_or_default();
    if spec.policy.is_some() {
        tracing::warn!(
            "a sandbox comes with a policy, which is kept; there is no supervisor yet that enforces it"
        );
    }
    let mut record = Record {
        id: names::new_id().map_err(of_random)?,
        name: request.name,
        workspace: DEFAULT_WORKSPACE.to_owned(),
        driver: engine.settings.driver_name.clone(),
        spec: spec.encode_to_vec(),
        labels: request.labels,
        annotations: request.annotations,
        created_at_ms: now,
        deleted_at_ms: None,
        resource_version: 1,
        life: Life::new(now),
    };
    let given = !record.name.is_empty();
    if given {
        let (workspace, name) = (record.workspace.clone(), record.name.clone());
        let taken = engine.store.read(move |db| db.by_name(&workspace, &name)).await;
        if taken.map_err(|error| of_store(&error))?.is_some() {
            return Err(name_taken(&record.name));
        }
    } else {
        record.name = names::generate().map_err(of_random)?;
    }
    validate(engine, &record).await?;
    for _ in 0..NAME_ATTEMPTS {
        if engine.store.insert(record.clone()).await.map_err(|error| of_store(&error))? {
            tracing::info!(sandbox = record.id, name = record.name, "sandbox is stored");
            engine.drive_in_background(&record.id);
            return Ok(record);
        }
        if given {
            break;
        }
        record.name = names::generate().map_err(of_random)?;
    }
    Err(name_taken(&record.name))
}

/// Asks the driver whether it could make it; a no is all that is ever told of such a request.
async fn validate(engine: &Engine, record: &Record) -> Result<(), Status> {
    let begun = Instant::now();
    let asked = async {
        let request = spec::driver_request(record, &engine.settings.driver_name)?;
        engine.driver.validate(request).await
    };
    asked.await.map_err(|error| {
        let outcome = UsageOutcome::of(error.kind());
        let event = UsageEvent { action: UsageAction::Create, outcome, took: begun.elapsed() };
        engine.settings.usage.record(event);
        of_driver(&error)
    })
}

fn name_taken(name: &str) -> Status {
    Status::already_exists(format!("the name `{name}` is taken in the workspace `{DEFAULT_WORKSPACE}`"))
}
