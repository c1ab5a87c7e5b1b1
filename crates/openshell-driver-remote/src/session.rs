//! What is known of the driver behind a socket, from one connection to the next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use openshell_driver_api::Capabilities;

/// A method of the driver contract that older drivers may not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rpc {
    /// `GetGatewayListenerRequirements`.
    GetGatewayListenerRequirements,
    /// `StopSandbox`.
    StopSandbox,
    /// `StartSandbox`.
    StartSandbox,
    /// `EnsureWorkspace`.
    EnsureWorkspace,
    /// `DeleteWorkspace`.
    DeleteWorkspace,
}

impl Rpc {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::GetGatewayListenerRequirements,
        Self::StopSandbox,
        Self::StartSandbox,
        Self::EnsureWorkspace,
        Self::DeleteWorkspace,
    ];

    /// The method's name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GetGatewayListenerRequirements => "GetGatewayListenerRequirements",
            Self::StopSandbox => "StopSandbox",
            Self::StartSandbox => "StartSandbox",
            Self::EnsureWorkspace => "EnsureWorkspace",
            Self::DeleteWorkspace => "DeleteWorkspace",
        }
    }
}

/// Whether a driver has an optional method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Support {
    /// It was not asked for yet.
    #[default]
    Unknown,
    /// It has it.
    Yes,
    /// It answered `UNIMPLEMENTED`.
    No,
}

/// The state that a driver's connections share.
#[derive(Debug, Default)]
pub(crate) struct Session(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    support: [Support; Rpc::ALL.len()],
    refused: Option<String>,
}

impl Session {
    /// A connection was made and the driver said who it is; it may be a newer one that has more methods.
    pub(crate) fn greeted(&self, capabilities: &Capabilities) -> Result<(), String> {
        let mut state = self.state();
        *state = State::default();
        if capabilities.driver_name.is_empty() {
            let refusal = "its answer to `GetCapabilities` is empty, it has no `driver_name`".to_owned();
            state.refused = Some(refusal.clone());
            return Err(refusal);
        }
        Ok(())
    }

    /// Why nothing is asked of this driver, if so.
    pub(crate) fn refused(&self) -> Option<String> {
        self.state().refused.clone()
    }

    /// Notes whether the driver has a method; `true` when that is news and bad.
    pub(crate) fn note(&self, rpc: Rpc, support: Support) -> bool {
        let known = &mut self.state().support[rpc as usize];
        let news = *known != support;
        *known = support;
        news && support == Support::No
    }

    pub(crate) fn support(&self, rpc: Rpc) -> Support {
        self.state().support[rpc as usize]
    }

    // Every change is one assignment: a panic elsewhere leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
