//! Workspaces: made before their first sandbox is, and removed from the backend before their row goes.

use std::error::Error;
use std::sync::{Arc, PoisonError};

use openshell_driver_api::DriverError;
use tokio::sync::oneshot;

use super::Engine;
use crate::clock::now_ms;
use crate::lifecycle::{self, Failed, Turn, WorkspacePhase, WorkspaceRefusal};
use crate::store::{Db, StoreError, Workspace};

/// What came of a client's wish to delete a workspace.
#[derive(Debug)]
pub(crate) enum WorkspaceSettled {
    /// There is no such workspace.
    Absent,
    /// It is gone, or was going already.
    Accepted,
    /// It cannot go.
    Refused(WorkspaceRefusal),
    /// The driver said no; the gateway goes on asking.
    Failed(Failed),
    /// The gateway stops.
    Stopping,
    /// The store failed.
    Store(StoreError),
}

/// What the transaction of a deletion found.
enum Taken {
    Absent,
    Refused(WorkspaceRefusal),
    Going(Workspace),
    Begun(Workspace),
}

/// Whoever waits for the first answer.
type Reply = Option<oneshot::Sender<WorkspaceSettled>>;

impl Engine {
    /// Deletes a workspace that holds nothing, and waits for the driver's first answer.
    pub(crate) async fn delete_workspace(self: &Arc<Self>, name: &str) -> WorkspaceSettled {
        let name = name.to_owned();
        let take = move |db: &Db<'_>| {
            let Some(workspace) = db.workspace(&name)? else { return Ok(Taken::Absent) };
            if workspace.phase() == WorkspacePhase::Terminating {
                return Ok(Taken::Going(workspace));
            }
            if let Err(refusal) = lifecycle::may_go(&name, db.sandboxes_in(&name)?) {
                return Ok(Taken::Refused(refusal));
            }
            db.terminate_workspace(&name, now_ms())?;
            Ok(Taken::Begun(workspace))
        };
        let workspace = match self.store.write(take, |_| ()).await {
            Ok(Taken::Begun(workspace)) => workspace,
            Ok(Taken::Going(workspace)) => {
                // It looks again at once.
                self.lanes.hurry(&workspace.id);
                return WorkspaceSettled::Accepted;
            }
            Ok(Taken::Absent) => return WorkspaceSettled::Absent,
            Ok(Taken::Refused(refusal)) => return WorkspaceSettled::Refused(refusal),
            Err(error) => return WorkspaceSettled::Store(error),
        };
        tracing::info!(workspace = workspace.name, "workspace is going");
        let (reply, answer) = oneshot::channel();
        let engine = Arc::clone(self);
        if !self.spawn(async move { engine.remove_workspace(workspace, Some(reply)).await }) {
            return WorkspaceSettled::Stopping;
        }
        answer.await.unwrap_or(WorkspaceSettled::Stopping)
    }

    /// Asks the driver to remove a workspace until it has, then lets the row go.
    async fn remove_workspace(self: Arc<Self>, workspace: Workspace, mut reply: Reply) {
        let mut lane = tokio::select! {
            lane = self.lanes.enter(&workspace.id) => lane,
            () = self.stopped() => return,
        };
        // It holds nothing and takes nothing, so that nobody prepares it from here on.
        self.prepared().remove(&workspace.name);
        for attempt in 0.. {
            if *self.stopping.borrow() {
                return;
            }
            lane.hurry.mark_unchanged();
            let settled = match self.removal(&workspace).await {
                WorkspaceSettled::Accepted => {
                    tracing::info!(workspace = workspace.name, "workspace is gone");
                    answer(&mut reply, WorkspaceSettled::Accepted);
                    return;
                }
                settled => settled,
            };
            answer(&mut reply, settled);
            tokio::select! {
                () = tokio::time::sleep(self.settings.backoff.pause(attempt)) => {}
                _ = lane.hurry.changed() => {}
                () = self.stopped() => return,
            }
        }
    }

    /// One attempt.
    async fn removal(&self, workspace: &Workspace) -> WorkspaceSettled {
        let answered = self.driver.delete_workspace(workspace.name.clone()).await;
        if lifecycle::removed(&answered) == Turn::Remove {
            let id = workspace.id.clone();
            return match self.store.write(move |db| db.remove_workspace(&id), |()| ()).await {
                Ok(()) => WorkspaceSettled::Accepted,
                Err(error) => {
                    let error_ = &error as &dyn Error;
                    tracing::error!(workspace = workspace.name, error = error_, "it could not be removed");
                    WorkspaceSettled::Store(error)
                }
            };
        }
        match answered {
            Ok(()) => WorkspaceSettled::Accepted,
            Err(error) => {
                tracing::warn!(
                    workspace = workspace.name,
                    error = &error as &dyn Error,
                    "the driver did not remove the workspace; trying again"
                );
                WorkspaceSettled::Failed(error.into())
            }
        }
    }

    /// Takes up the deletions that were owed when the gateway went away.
    pub(super) async fn resume_workspaces(self: &Arc<Self>) -> Result<(), StoreError> {
        for workspace in self.store.read(|db| db.terminating_workspaces()).await? {
            tracing::info!(workspace = workspace.name, "owed from before; asking the driver to remove it");
            let engine = Arc::clone(self);
            // Once the gateway stops it stays owed.
            let _stopping = self.spawn(engine.remove_workspace(workspace, None));
        }
        Ok(())
    }

    /// Has the driver prepare every workspace again before its next sandbox: the driver may be another one.
    pub(super) fn forget_prepared(&self) {
        self.prepared().clear();
    }

    /// Has the driver prepare a workspace before its first sandbox since the watch of the driver came up.
    pub(super) async fn prepare_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        if self.prepared().contains(workspace) {
            return Ok(());
        }
        self.driver.ensure_workspace(workspace.to_owned()).await?;
        self.prepared().insert(workspace.to_owned());
        Ok(())
    }

    fn prepared(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<String>> {
        // No code that may panic runs under this lock.
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers the client, once.
fn answer(reply: &mut Reply, settled: WorkspaceSettled) {
    if let Some(reply) = reply.take() {
        // A client that went away does not stop what it asked for.
        let _gone = reply.send(settled);
    }
}
