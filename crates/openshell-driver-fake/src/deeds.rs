//! What the methods do, once a request is read: every fault of theirs is here.

use std::sync::Arc;
use std::time::Duration;

use openshell_proto::compute::v1::DriverSandbox;
use tonic::Status;

use crate::service::{MEETING, Service};
use crate::world::Phase;
use crate::{Fault, validate, view};

/// How long a delete goes on after its answer.
const AFTERWARDS: Duration = Duration::from_secs(1);

impl Service {
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.driver.has(fault)
    }

    /// Waits while a watch blocks everything, in that fault.
    pub(crate) async fn enter(&self) {
        if self.has(Fault::WatchBlocksCalls) {
            let mut open = self.driver.open_watches.subscribe();
            // The sender lives as long as the driver.
            let _ = open.wait_for(|open| *open == 0).await;
        }
    }

    pub(crate) fn unimplemented(&self, method: &str) -> Status {
        let silent = self.has(Fault::UnimplementedWithoutMessage);
        Status::unimplemented(if silent { String::new() } else { format!("`{method}` is not implemented") })
    }

    /// The id that a request means; empty only where a fault accepts that.
    pub(crate) fn identify(&self, id: String, name: String) -> Result<String, Status> {
        let world = self.driver.world();
        if id.is_empty() && name.is_empty() {
            if !self.has(Fault::EmptyIdsAccepted) {
                return Err(Status::invalid_argument("both `sandbox_id` and `sandbox_name` are empty"));
            }
            return Ok(world.sandboxes.keys().next().cloned().unwrap_or_default());
        }
        if !id.is_empty() && !name.is_empty() && self.has(Fault::BothIdentifiersRefused) {
            return Err(Status::invalid_argument(
                "exactly one of `sandbox_id` and `sandbox_name` may be given",
            ));
        }
        let by_name = id.is_empty() || (!name.is_empty() && self.has(Fault::NameWins));
        if !by_name {
            return Ok(id);
        }
        let mut named = world.sandboxes.values().filter(|kept| kept.asked.name == name);
        match (named.next(), named.next()) {
            (Some(kept), None) => Ok(kept.asked.id.clone()),
            (None, _) => Err(Status::not_found(format!("no sandbox is named `{name}`"))),
            _ => Err(Status::failed_precondition(format!("several sandboxes are named `{name}`"))),
        }
    }

    pub(crate) fn validate(&self, sandbox: Option<DriverSandbox>) -> Result<Option<DriverSandbox>, Status> {
        let Some(asked) = sandbox.map(|asked| view::understood(&self.driver.scenario, asked)) else {
            let missing = Status::invalid_argument("the request has no `sandbox`");
            return if self.has(Fault::MissingSandboxAccepted) { Ok(None) } else { Err(missing) };
        };
        if asked.id.is_empty() && self.has(Fault::EmptyCreateAccepted) {
            return Ok(None);
        }
        validate::check(&self.driver.scenario, &asked).map(|()| Some(asked))
    }

    /// A create from here on, whoever else creates.
    pub(crate) fn make(&self, asked: DriverSandbox) -> Result<(), Status> {
        let taken = |name: &str| Status::already_exists(format!("a sandbox `{name}` is there"));
        let world = self.driver.world();
        if world.sandboxes.contains_key(&asked.id) {
            drop(world);
            if self.has(Fault::CreateTwiceAccepted) {
                return Ok(());
            }
            if self.has(Fault::CreateTwiceDisturbs) {
                self.driver.turn(&asked.id, Phase::Starting, true);
            }
            let token = asked.spec.map(|spec| spec.sandbox_token).unwrap_or_default();
            let tells = self.has(Fault::TokenInErrors);
            return Err(if tells { taken(&format!("{} with {token}", asked.id)) } else { taken(&asked.id) });
        }
        let same_name = world.sandboxes.values().any(|kept| kept.asked.name == asked.name);
        let spent = world.spent.contains(&asked.id);
        drop(world);
        if (self.has(Fault::NameIsKey) && same_name) || (self.has(Fault::IdsAreSpent) && spent) {
            return Err(taken(&asked.id));
        }
        self.driver.add(asked);
        Ok(())
    }

    /// Stop and start: both are no more than a phase here.
    pub(crate) fn turn(&self, id: &str, stop: bool) -> Result<(), Status> {
        let unknown_ok = self.has(if stop { Fault::StopUnknownOk } else { Fault::StartUnknownOk });
        let phase = self.driver.world().sandboxes.get(id).map(|kept| kept.phase);
        let Some(phase) = phase else {
            let not_found = Status::not_found(format!("no sandbox `{id}`"));
            return if unknown_ok || id.is_empty() { Ok(()) } else { Err(not_found) };
        };
        let (already, again_refused, lies) = match stop {
            true => (phase == Phase::Stopped, Fault::StopNotIdempotent, Fault::StopLies),
            false => {
                (matches!(phase, Phase::Ready | Phase::Starting), Fault::StartNotIdempotent, Fault::StartLies)
            }
        };
        if already {
            let refused = Status::failed_precondition(format!("the sandbox `{id}` is in that state already"));
            return if self.has(again_refused) { Err(refused) } else { Ok(()) };
        }
        match stop {
            _ if self.has(lies) => {}
            true if self.has(Fault::StopDeletes) => self.driver.remove(id),
            true => self.driver.turn(id, Phase::Stopped, false),
            false => self.driver.turn(id, Phase::Starting, true),
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, id: &str) -> Result<bool, Status> {
        let phase = self.driver.world().sandboxes.get(id).map(|kept| kept.phase);
        let Some(phase) = phase else {
            let gone = self.driver.world().spent.contains(id);
            if gone && self.has(Fault::SecondDeleteNotFound) {
                return Err(Status::not_found(format!("no sandbox `{id}`")));
            }
            return Ok(self.has(Fault::DeletedAlwaysTrue));
        };
        let refused = (phase == Phase::Stopped && self.has(Fault::DeleteStoppedRefused))
            || (phase == Phase::Starting && self.has(Fault::DeleteYoungRefused));
        if refused {
            return Err(Status::failed_precondition(format!("the sandbox `{id}` is not running")));
        }
        if self.has(Fault::DeleteLies) {
            return Ok(true);
        }
        if self.has(Fault::DeleteConflict) {
            if !self.driver.world().deleting.insert(id.to_owned()) {
                return Err(Status::aborted(format!("the sandbox `{id}` is being deleted")));
            }
            tokio::time::sleep(MEETING).await;
            self.driver.world().deleting.remove(id);
        }
        if !self.has(Fault::DeleteUnshown) {
            self.driver.turn(id, Phase::Deleting, false);
        }
        if self.has(Fault::DeleteSlow) || self.has(Fault::DeleteUnshown) {
            let (driver, id) = (Arc::clone(&self.driver), id.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(AFTERWARDS).await;
                driver.remove(&id);
            });
        } else {
            self.driver.remove(id);
        }
        Ok(!self.has(Fault::DeletedFalse))
    }
}
