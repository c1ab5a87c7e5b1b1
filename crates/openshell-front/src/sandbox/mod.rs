//! The doors of sandboxes: a socket each, for its supervisor alone, or one listener for those on other hosts. Who comes in
//! there has to show a token of that very sandbox, and gets at the supervisors' methods and at nothing else; on every other
//! listener nobody gets at these.
//!
//! A door of this kind is where whatever runs in a sandbox may connect to it. So the kernel's word on a peer means
//! nothing, a refusal costs its caller time, and what is refused cannot fill the log.

mod roll;
mod seats;
mod token;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;

use crate::access::{Bucket, Denied, Method, Rate, Refusal, bearer};
use crate::{Guest, Identity, Role};

pub use roll::SandboxRoll;
use seats::Seats;
pub use token::{Issued, Purpose, SandboxKey};

/// How long the answer to somebody without a token of the sandbox is held back.
const HELD_BACK: Duration = Duration::from_millis(500);
/// How often a supervisor may ask for anything but a channel. One that comes back all the time stays far below that; who is root in a
/// sandbox and pretends to be one cannot fill the log with it, nor keep the store from the other sandboxes.
const PACE: Rate = Rate { per_second: 10, burst: 200 };
/// What is as frequent as clients' commands are; without a channel that waits for it, it costs next to nothing.
const CHANNEL: &str = "openshell.v1.OpenShell/RelayStream";
/// How often a door's refusals are worth a line in the log.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Which sandbox's supervisor asks, as its token proves. Requests that came in by a sandbox's door carry it as an
/// extension, and no others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox(pub Arc<str>);

/// The door of one sandbox.
#[derive(Debug)]
pub(crate) struct SandboxDoor {
    sandbox: Sandbox,
    identity: Identity,
    key: Arc<SandboxKey>,
    pace: Option<Bucket>,
    /// Its connections, where others come in by the same listener.
    seats: Option<Seats>,
    said: Mutex<Said>,
}

/// What the log has of refusals.
#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    /// How many there were since.
    unsaid: u64,
}

impl SandboxDoor {
    /// `seats` are for the door on a listener that is not this sandbox's alone.
    pub(crate) fn new(id: &str, key: Arc<SandboxKey>, seats: Option<Seats>) -> Self {
        let identity = Identity { name: format!("sandbox {id}").into(), role: Role::Read };
        let pace = Bucket::new(PACE, Instant::now());
        Self { sandbox: Sandbox(id.into()), identity, key, pace, seats, said: Mutex::default() }
    }

    /// Which sandbox it is the door of.
    pub(crate) fn sandbox(&self) -> Sandbox {
        self.sandbox.clone()
    }

    /// What its supervisor is to services and logs.
    pub(crate) fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// Whether whoever shows these headers is the sandbox's supervisor, and may call this method as they are, and now. Of a method that is
    /// none of theirs nothing is looked at.
    pub(crate) fn admit(&self, method: Method, headers: &HeaderMap, now: Instant) -> Result<(), Refusal> {
        let Some(purposes) = method.supervisor else { return Err(Refusal::NotHere) };
        let token = bearer(headers).map_err(Refusal::Denied)?;
        let purpose = self.key.verify(token, &self.sandbox.0, SystemTime::now()).map_err(Refusal::Denied)?;
        if !purposes.contains(&purpose) {
            return Err(Refusal::Denied(Denied::Purpose));
        }
        match &self.pace {
            Some(pace) if method.path != CHANNEL => pace.take(now).map_err(|wait| Refusal::Rate { wait }),
            _ => Ok(()),
        }
    }

    /// Whether a connection is this sandbox's, on which it has been [admitted](Self::admit).
    pub(crate) fn seat(&self, guest: &Guest) -> Result<(), Refusal> {
        match &self.seats {
            Some(seats) if !seats.take(&self.sandbox.0, guest) => Err(Refusal::Denied(Denied::OtherSandbox)),
            _ => Ok(()),
        }
    }

    /// Shows everybody out, and seats nobody any more.
    pub(crate) fn close(&self) {
        if let Some(seats) = &self.seats {
            seats.close();
        }
    }

    /// How long the answer to this refusal is held back.
    pub(crate) fn penalty(refusal: Refusal) -> Duration {
        if matches!(refusal, Refusal::Denied(_)) { HELD_BACK } else { Duration::ZERO }
    }

    /// Whether a refusal is to be logged, and how many were not since the last one that was.
    pub(crate) fn says(&self, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.last.is_some_and(|last| now.saturating_duration_since(last) < SAID_EVERY) {
            said.unsaid += 1;
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::MethodId;

    #[test]
    fn a_supervisor_may_ask_now_and_then_and_for_channels_as_often_as_it_likes() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = SandboxKey::load_or_create(&dir.path().join("key"), "gw").expect("a key");
        let key = Arc::new(key);
        let door = SandboxDoor::new("a", Arc::clone(&key), None);
        let token = key.issue("a", Purpose::Session, SystemTime::now()).token;
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {}", token.expose()).parse().expect("a header");
        headers.insert(http::header::AUTHORIZATION, value);
        let start = Instant::now() + Duration::from_secs(1);
        let ask = |path: &str, at| door.admit(MethodId::of(path).method(), &headers, at);
        let connect = "/openshell.v1.OpenShell/ConnectSupervisor";
        for _ in 0..PACE.burst {
            assert_eq!(ask(connect, start), Ok(()));
        }
        assert!(matches!(ask(connect, start), Err(Refusal::Rate { .. })));
        for _ in 0..2 * PACE.burst {
            assert_eq!(ask(&format!("/{CHANNEL}"), start), Ok(()));
        }
        assert_eq!(ask(connect, start + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn refusals_are_said_now_and_then_and_counted_in_between() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = SandboxKey::load_or_create(&dir.path().join("key"), "gw").expect("a key");
        let door = SandboxDoor::new("a", Arc::new(key), None);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let said = [0, 1, 9, 10, 11, 30].map(|second| door.says(at(second)));
        assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
