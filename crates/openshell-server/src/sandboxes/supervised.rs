//! Between the front and the runtime: whose supervisor asks, in the words of each, and of which version it is.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::header::USER_AGENT;
use http::{HeaderMap, Request};
use openshell_driver_api::SandboxId;
use openshell_driver_api::supervisor::PROGRAM_NAME;
use openshell_front::Sandbox;
use openshell_runtime::{Gateway, SupervisorOf};
use tower_service::Service;
use tracing::warn;

use crate::start::VERSION;

/// How many sandboxes are remembered whose supervisor is of another version.
const REMEMBERED: usize = 4096;
/// The longest version that is worth a line.
const LONGEST: usize = 32;

/// The runtime's services, which are told for which sandbox a request speaks that came in by its door.
#[derive(Debug, Clone)]
pub(crate) struct Supervised {
    gateway: Gateway,
    /// Of which sandboxes it was said that their supervisor is of another version.
    said: Arc<Mutex<HashSet<SandboxId>>>,
}

impl Supervised {
    pub(crate) fn new(gateway: Gateway) -> Self {
        Self { gateway, said: Arc::default() }
    }

    /// Says once of a sandbox that its supervisor is of another version than this gateway.
    fn compare(&self, id: &SandboxId, headers: &HeaderMap) {
        let Some(version) = other_version(headers) else { return };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= REMEMBERED {
            said.clear();
        }
        if said.insert(id.clone()) {
            warn!(sandbox = %id, supervisor = version, gateway = VERSION, "a supervisor is of another version than the gateway");
        }
    }
}

/// What a supervisor of ours says to be, where that is not this version.
fn other_version(headers: &HeaderMap) -> Option<&str> {
    let agent = headers.get(USER_AGENT)?.to_str().ok()?;
    let version = agent.strip_prefix(PROGRAM_NAME)?.strip_prefix('/')?;
    // Whoever is root in a sandbox may say anything.
    let is_one = version.len() <= LONGEST && version.bytes().all(|byte| byte.is_ascii_graphic());
    (is_one && version != VERSION).then_some(version)
}

impl<B> Service<Request<B>> for Supervised
where
    Gateway: Service<Request<B>>,
{
    type Response = <Gateway as Service<Request<B>>>::Response;
    type Error = <Gateway as Service<Request<B>>>::Error;
    type Future = <Gateway as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.gateway.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let sandbox = request.extensions().get::<Sandbox>();
        // The front has it from a door, whose id is no empty one.
        if let Some(id) = sandbox.and_then(|Sandbox(id)| SandboxId::new(&**id).ok()) {
            self.compare(&id, request.headers());
            request.extensions_mut().insert(SupervisorOf(id));
        }
        self.gateway.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_of_ours_says_its_version_and_others_say_what_they_like() {
        let other = |agent: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, agent.parse().expect("a header"));
            other_version(&headers).map(str::to_owned)
        };
        assert_eq!(other("openshell-sandbox/0.0.0-x"), Some("0.0.0-x".to_owned()));
        let same = format!("openshell-sandbox/{VERSION}");
        let long = format!("openshell-sandbox/{}", "1".repeat(LONGEST + 1));
        for agent in [&same, &long, "grpc-go/1.2", "openshell-sandbox", "openshell-sandbox/1 2"] {
            assert_eq!(other(agent), None, "{agent}");
        }
        assert_eq!(other_version(&HeaderMap::new()), None);
    }
}
