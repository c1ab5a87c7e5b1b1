//! Create, get, list and delete workspaces.

use openshell_proto::openshell::v1 as proto;
use tonic::Status;

use super::Api;
use super::page::Page;
use super::status::{no_workspace, of_random, of_store, of_workspace};
use crate::clock::now_ms;
use crate::lifecycle::WorkspacePhase;
use crate::store::{Filter, Workspace};
use crate::{limits, names, view};

impl Api {
    pub(super) async fn new_workspace(
        &self,
        request: proto::CreateWorkspaceRequest,
    ) -> Result<proto::CreateWorkspaceResponse, Status> {
        let proto::CreateWorkspaceRequest { name, labels } = request;
        let mut faults = limits::label_faults("labels", &labels);
        faults.extend(name_fault(&name));
        if !faults.is_empty() {
            return Err(Status::invalid_argument(faults.join("; ")));
        }
        let workspace = Workspace {
            id: names::new_id().map_err(of_random)?,
            name,
            labels,
            created_at_ms: now_ms(),
            deleted_at_ms: None,
            resource_version: 1,
        };
        let stored = workspace.clone();
        let taken = self.engine.store.write(move |db| db.insert_workspace(&stored), |_| ()).await;
        match taken.map_err(|error| of_store(&error))? {
            None => {
                tracing::info!(workspace = workspace.name, "workspace is stored");
                Ok(proto::CreateWorkspaceResponse { workspace: Some(view::workspace(&workspace)) })
            }
            Some(there) => Err(name_taken(&there)),
        }
    }

    pub(super) async fn one_workspace(
        &self,
        request: proto::GetWorkspaceRequest,
    ) -> Result<proto::GetWorkspaceResponse, Status> {
        let proto::GetWorkspaceRequest { name } = request;
        if let Some(fault) = name_fault(&name) {
            return Err(Status::invalid_argument(fault));
        }
        let key = name.clone();
        let found = self.engine.store.read(move |db| db.workspace(&key)).await;
        let workspace = found.map_err(|error| of_store(&error))?.ok_or_else(|| no_workspace(&name))?;
        Ok(proto::GetWorkspaceResponse { workspace: Some(view::workspace(&workspace)) })
    }

    pub(super) async fn workspaces(
        &self,
        request: proto::ListWorkspacesRequest,
    ) -> Result<proto::ListWorkspacesResponse, Status> {
        let Page { limit, offset, selector } =
            Page::read(request.limit, request.offset, &request.label_selector)?;
        let filter = Filter { workspace: None, selector, limit, offset };
        let found = self.engine.store.read(move |db| db.list_workspaces(&filter)).await;
        let workspaces = found.map_err(|error| of_store(&error))?;
        Ok(proto::ListWorkspacesResponse { workspaces: workspaces.iter().map(view::workspace).collect() })
    }

    pub(super) async fn drop_workspace(
        &self,
        request: proto::DeleteWorkspaceRequest,
    ) -> Result<proto::DeleteWorkspaceResponse, Status> {
        let proto::DeleteWorkspaceRequest { name } = request;
        if let Some(fault) = name_fault(&name) {
            return Err(Status::invalid_argument(fault));
        }
        of_workspace(self.engine.delete_workspace(&name).await, &name)?;
        Ok(proto::DeleteWorkspaceResponse { deleted: true })
    }
}

/// A workspace is named by whoever makes it: what is made by accident is not found again.
fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the name of the workspace is empty".to_owned());
    }
    names::check(name).err()
}

fn name_taken(there: &Workspace) -> Status {
    let name = &there.name;
    Status::already_exists(match there.phase() {
        WorkspacePhase::Active => format!("there is a workspace `{name}` already"),
        WorkspacePhase::Terminating => {
            format!("the workspace `{name}` is in phase TERMINATING; its name is free once it is gone")
        }
    })
}
