//! Errors as gRPC codes.

use openshell_driver_api::DriverError;
use tonic::{Code, Status};

use crate::engine::{Settled, WorkspaceSettled};
use crate::lifecycle::{Failed, Refusal, Request, WorkspaceRefusal};
use crate::store::{Record, StoreError};

/// A driver's error as it is: its code and its words.
pub(super) fn of_driver(error: &DriverError) -> Status {
    Status::new(Code::from_i32(error.kind().code()), error.message())
}

fn of_failed(failed: &Failed) -> Status {
    Status::new(Code::from_i32(failed.kind.code()), failed.message.as_str())
}

/// An error of the store. What SQLite says goes to the log: it is nothing that a client could mend.
pub(crate) fn of_store(error: &StoreError) -> Status {
    tracing::error!(error = error as &dyn std::error::Error, "the store failed");
    match error {
        StoreError::Full => Status::resource_exhausted(error.to_string()),
        StoreError::Closed | StoreError::Locked => Status::unavailable(error.to_string()),
        _ => Status::internal("the gateway's store failed"),
    }
}

/// The system has no randomness for a name or an id.
pub(super) fn of_random(error: getrandom::Error) -> Status {
    tracing::error!(error = &error as &dyn std::error::Error, "no randomness");
    Status::internal("the system gives no randomness")
}

pub(crate) fn no_sandbox(name: &str) -> Status {
    Status::not_found(format!("there is no sandbox `{}`", name.escape_debug()))
}

pub(super) fn no_workspace(name: &str) -> Status {
    let name = name.escape_debug();
    Status::not_found(format!(
        "there is no workspace `{name}`; hint: make it with `openshell workspace create {name}`"
    ))
}

/// A list whose sandboxes are too large to be sent at once.
pub(super) fn list_too_large(limit: u32) -> Status {
    Status::resource_exhausted(format!(
        "these sandboxes are too large for one answer; hint: ask for fewer than {limit} at a time \
         (`limit`), and for the others with `offset`"
    ))
}

/// A workspace that takes no new sandbox.
pub(super) fn workspace_going(name: &str) -> Status {
    Status::failed_precondition(format!(
        "the workspace `{name}` is in phase TERMINATING and takes no new sandbox"
    ))
}

/// A deletion of a workspace that was not simply accepted.
pub(super) fn of_workspace(settled: WorkspaceSettled, name: &str) -> Result<(), Status> {
    Err(match settled {
        WorkspaceSettled::Accepted => return Ok(()),
        WorkspaceSettled::Absent => no_workspace(name),
        WorkspaceSettled::Refused(WorkspaceRefusal::Permanent) => Status::failed_precondition(format!(
            "the workspace `{name}` is always there and cannot be deleted"
        )),
        WorkspaceSettled::Refused(WorkspaceRefusal::Holds(count)) => {
            let sandboxes = if count == 1 { "sandbox" } else { "sandboxes" };
            Status::failed_precondition(format!(
                "the workspace `{name}` holds {count} {sandboxes}; hint: see them with \
                 `openshell sandbox list --workspace {name}`, and delete them first"
            ))
        }
        WorkspaceSettled::Failed(failed) => of_failed(&failed),
        WorkspaceSettled::Stopping => stopping(),
        WorkspaceSettled::Store(error) => of_store(&error),
    })
}

pub(super) fn stopping() -> Status {
    Status::unavailable("the gateway is going away")
}

/// A request that was not simply accepted.
pub(super) fn of_settled(settled: Settled, name: &str, driver_name: &str) -> Result<Record, Status> {
    Err(match settled {
        Settled::Accepted(record) => return Ok(*record),
        Settled::Absent => no_sandbox(name),
        Settled::Refused(refusal) => refused(refusal, name),
        Settled::Foreign(record) => Status::failed_precondition(format!(
            "sandbox `{name}` is in phase UNKNOWN: it was made by the driver `{0}`, and this gateway runs \
             `{driver_name}`; hint: run a gateway with `--drivers {0}`",
            record.driver
        )),
        Settled::Failed(failed) => of_failed(&failed),
        Settled::Waiting => Status::deadline_exceeded(format!(
            "the driver has not answered yet; the gateway goes on, see the phase of sandbox `{name}`"
        )),
        Settled::Stopping => stopping(),
        Settled::Store(error) => of_store(&error),
    })
}

fn refused(Refusal { request, phase }: Refusal, name: &str) -> Status {
    let (verb, phases) = match request {
        Request::Stop => ("stopped", "READY"),
        Request::Start => ("started", "STOPPED or ERROR"),
        Request::Delete => ("deleted", "any phase"),
    };
    let phase = phase.as_str();
    Status::failed_precondition(format!("sandbox `{name}` is in phase {phase}; it can be {verb} in {phases}"))
}
