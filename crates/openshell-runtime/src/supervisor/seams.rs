//! What the composition lends the runtime for sandboxes with a supervisor: tokens, and the doors that supervisors come
//! in by. Who may come in is decided in front of the runtime; here that is an extension of the request.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::{SandboxId, Secret};

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenUse {
    /// The sandbox gets it through its driver and has it to its end: to connect, and to ask for a session's. Whoever answers
    /// has to look that the sandbox is there.
    Boot,
    /// A supervisor asks for it, and keeps it in memory: for everything that supervisors do.
    Session,
}

/// A credential of one sandbox.
#[derive(Clone)]
pub struct SandboxToken {
    /// Its text.
    pub text: Secret,
    /// Until when it is good, in milliseconds since the Unix epoch; the latest there is: with its sandbox.
    pub expires_at_ms: i64,
}

impl fmt::Debug for SandboxToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxToken").field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}

/// Makes the credentials of sandboxes. Nothing of them is stored.
pub trait SandboxTokens: Send + Sync {
    /// A new token that is good for this sandbox alone. It costs a hash, and asks nobody.
    fn issue(&self, sandbox_id: &str, token_use: TokenUse) -> SandboxToken;
}

/// The ways in for supervisors, one a sandbox.
#[tonic::async_trait]
pub trait SandboxDoors: Send + Sync {
    /// Opens the sandbox's door. It is open when this returns; a second call changes nothing.
    ///
    /// # Errors
    /// Of the file system.
    async fn open(&self, sandbox_id: &SandboxId) -> io::Result<()>;

    /// Closes it for ever, with whatever is connected, and removes what was made for it. Nothing happens where there is
    /// none.
    async fn close(&self, sandbox_id: &SandboxId);
}

/// Sandboxes of this gateway have a supervisor.
#[derive(Clone)]
pub struct Supervision {
    /// Makes their tokens.
    pub tokens: Arc<dyn SandboxTokens>,
    /// Where they come in.
    pub doors: Arc<dyn SandboxDoors>,
    /// How often both sides say that they are alive; a side that has not for three times as long is gone.
    pub heartbeat: Duration,
    /// How long a session may be away before the sandbox no longer counts as ready.
    pub grace: Duration,
}

impl Supervision {
    /// With the usual times: a heartbeat every 10 s, 30 s of grace.
    #[must_use]
    pub fn new(tokens: Arc<dyn SandboxTokens>, doors: Arc<dyn SandboxDoors>) -> Self {
        Self { tokens, doors, heartbeat: Duration::from_secs(10), grace: Duration::from_secs(30) }
    }
}

impl fmt::Debug for Supervision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervision")
            .field("heartbeat", &self.heartbeat)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// An extension of a supervisor's request: for which sandbox it speaks, as its token proves. Whoever puts it there has
/// checked the token, and that it came in by that sandbox's door. Without it the supervisors' methods are
/// `PERMISSION_DENIED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorOf(pub SandboxId);
