//! The tokens of sandboxes, as the runtime asks for them.

use std::sync::Arc;
use std::time::SystemTime;

use openshell_driver_api::Secret;
use openshell_front::{Purpose, SandboxKey};
use openshell_runtime::{SandboxToken, SandboxTokens, TokenUse};

/// Makes tokens with the gateway's key.
pub(super) struct Tokens(pub(super) Arc<SandboxKey>);

impl SandboxTokens for Tokens {
    fn issue(&self, sandbox_id: &str, token_use: TokenUse) -> SandboxToken {
        let purpose = match token_use {
            TokenUse::Boot => Purpose::Boot,
            TokenUse::Session => Purpose::Session,
        };
        let issued = self.0.issue(sandbox_id, purpose, SystemTime::now());
        let expires = issued.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SandboxToken {
            text: Secret::new(issued.token.expose()),
            expires_at_ms: i64::try_from(expires.as_millis()).unwrap_or(i64::MAX),
        }
    }
}
