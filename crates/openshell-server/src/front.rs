//! Who may come in, and what the gateway tells of itself: the settings as the front door takes them, and the runtime as
//! its probes and metrics ask it.

use openshell_core::config::{self, IdentitySettings, RateSettings};
use openshell_core::settings::FrontSettings;
use openshell_driver_api::async_trait;
use openshell_front::token::TokenError;
use openshell_front::{AccessSettings, Backend, Family, IdentityRule, Policy, Rate, Role};
use openshell_runtime::Runtime;

use crate::metrics;

/// Reads the token files of identities, so that a faulty one is told before anything is made. The gateway's own is looked
/// at when it is there; it is made later.
///
/// # Errors
/// A file that is missing, open to others, or holds no token.
pub(crate) fn check(front: &FrontSettings, uid: u32) -> Result<(), TokenError> {
    let mut access = access(front, uid);
    access.token_path = access.token_path.filter(|path| path.exists());
    Policy::new(&access).map(|_policy| ())
}

/// Who may come in, as whom.
pub(crate) fn access(front: &FrontSettings, uid: u32) -> AccessSettings {
    let clients = front.tcp.as_ref().and_then(|tcp| tcp.tls.as_ref()).and_then(|tls| tls.clients.as_ref());
    AccessSettings {
        owner_uid: uid,
        token_path: front.takes_tokens().then(|| front.token_path.clone()),
        allow_unauthenticated: front.allow_unauthenticated,
        client_role: clients.and_then(|clients| clients.role).map(role),
        rate: rate(front.limits.rate),
        identities: front.identities.iter().map(identity).collect(),
    }
}

fn identity(settings: &IdentitySettings) -> IdentityRule {
    IdentityRule {
        name: settings.name.clone(),
        role: role(settings.role),
        token_path: settings.token_path.clone(),
        certificate_name: settings.certificate_name.clone(),
        certificate_sha256: settings.certificate_sha256,
        uids: settings.uids.clone(),
        rate: Some(rate(settings.rate)),
    }
}

fn role(role: config::Role) -> Role {
    match role {
        config::Role::Read => Role::Read,
        config::Role::Use => Role::Use,
        config::Role::Admin => Role::Admin,
    }
}

fn rate(rate: RateSettings) -> Rate {
    Rate { per_second: rate.requests_per_second, burst: rate.burst }
}

/// The runtime, for probes and metrics.
pub(crate) struct Asked(pub(crate) Runtime);

#[async_trait]
impl Backend for Asked {
    async fn readiness(&self) -> Vec<String> {
        self.0.readiness().await.reasons.iter().map(ToString::to_string).collect()
    }

    async fn families(&self) -> Vec<Family> {
        metrics::families(&self.0.stats())
    }
}
