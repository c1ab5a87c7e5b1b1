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
        let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ms = issued.expires.map(|expires| since_1970(expires).as_millis());
        SandboxToken {
            text: Secret::new(issued.token.expose()),
            expires_at_ms: ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(i64::MAX),
        }
    }
}
