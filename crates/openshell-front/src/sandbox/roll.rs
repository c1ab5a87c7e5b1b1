//! The one door of all sandboxes that are on other hosts: nothing but the token says which of them it is that comes in.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;

use super::token::SandboxKey;
use super::{SandboxDoor, Seats};
use crate::access::bearer;

/// Connections besides those of sandboxes that are known: of whoever has yet to show a token.
const STRANGERS: usize = 256;
/// Connections of a sandbox that the listener has room for: its supervisor's, and the one before, which may be dead without
/// anybody having noticed.
const OF_ONE: usize = 2;
/// What the log has for a sandbox where there is none. No token is ever made for it.
const NOBODY: &str = "?";

/// The sandboxes whose supervisors may come in by the network.
pub struct SandboxRoll {
    key: Arc<SandboxKey>,
    doors: RwLock<HashMap<Arc<str>, Arc<SandboxDoor>>>,
    /// What answers whoever is none of these, which it never lets in.
    nobody: Arc<SandboxDoor>,
    places: Arc<AtomicUsize>,
}

impl SandboxRoll {
    /// An empty one; `key` has signed the tokens.
    #[must_use]
    pub fn new(key: Arc<SandboxKey>) -> Self {
        Self {
            nobody: Arc::new(SandboxDoor::new(NOBODY, Arc::clone(&key), None)),
            key,
            doors: RwLock::default(),
            places: Arc::new(AtomicUsize::new(STRANGERS)),
        }
    }

    /// Lets the supervisor of a sandbox in from now on.
    pub fn add(&self, id: &str) {
        let mut doors = self.doors.write().unwrap_or_else(PoisonError::into_inner);
        let door = || Arc::new(SandboxDoor::new(id, Arc::clone(&self.key), Some(Seats::default())));
        doors.entry(id.into()).or_insert_with(door);
        self.places.store(STRANGERS + OF_ONE * doors.len(), Ordering::Relaxed);
    }

    /// Lets it in no more, and shows it out where it is inside.
    pub fn remove(&self, id: &str) {
        let mut doors = self.doors.write().unwrap_or_else(PoisonError::into_inner);
        let removed = doors.remove(id);
        self.places.store(STRANGERS + OF_ONE * doors.len(), Ordering::Relaxed);
        drop(doors);
        if let Some(door) = removed {
            door.close();
        }
    }

    /// How many sandboxes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.doors.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many connections the listener may have, which follows the number of sandboxes.
    #[must_use]
    pub fn places(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.places)
    }

    /// The door of the sandbox whose token this is, which judges it.
    pub(crate) fn door_for(&self, headers: &HeaderMap) -> Arc<SandboxDoor> {
        let id = bearer(headers).ok().and_then(|token| self.key.sandbox_of(token));
        let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        let door = id.and_then(|id| doors.get(&*id));
        Arc::clone(door.unwrap_or(&self.nobody))
    }
}

impl fmt::Debug for SandboxRoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxRoll").field("sandboxes", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::Purpose;
    use crate::access::{Denied, MethodId, Refusal};

    fn roll(dir: &tempfile::TempDir) -> (SandboxRoll, Arc<SandboxKey>) {
        let key = SandboxKey::load_or_create(&dir.path().join("key"), "gw").expect("a key");
        let key = Arc::new(key);
        (SandboxRoll::new(Arc::clone(&key)), key)
    }

    fn asks(roll: &SandboxRoll, token: Option<&str>) -> (String, Result<(), Refusal>) {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a header");
            headers.insert(http::header::AUTHORIZATION, value);
        }
        let door = roll.door_for(&headers);
        let method = MethodId::of("/openshell.v1.OpenShell/ConnectSupervisor").method();
        (door.sandbox().0.to_string(), door.admit(method, &headers, Instant::now()))
    }

    #[test]
    fn the_token_says_which_sandbox_it_is_as_long_as_that_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let (roll, key) = roll(&dir);
        let token = |id: &str| key.issue(id, Purpose::Boot, SystemTime::now()).token.expose().to_owned();
        let (a, b) = (token("a"), token("b"));
        let nobody = |reason| (NOBODY.to_owned(), Err(Refusal::Denied(reason)));
        assert_eq!(asks(&roll, Some(&a)), nobody(Denied::OtherSandbox));
        roll.add("a");
        assert_eq!(asks(&roll, Some(&a)), ("a".to_owned(), Ok(())));
        assert_eq!(asks(&roll, Some(&b)), nobody(Denied::OtherSandbox));
        assert_eq!(asks(&roll, None), nobody(Denied::Missing));
        assert_eq!(asks(&roll, Some(&format!("{a}A"))), nobody(Denied::Unknown));
        let old = SystemTime::now() - 2 * Purpose::Session.lifetime().expect("it ends");
        let old = key.issue("a", Purpose::Session, old).token.expose().to_owned();
        assert_eq!(asks(&roll, Some(&old)), ("a".to_owned(), Err(Refusal::Denied(Denied::Expired))));
        roll.remove("a");
        assert_eq!(asks(&roll, Some(&a)), nobody(Denied::OtherSandbox));
    }

    #[test]
    fn there_is_room_for_every_sandbox_and_some_strangers() {
        let dir = tempfile::tempdir().expect("a directory");
        let (roll, _) = roll(&dir);
        let places = roll.places();
        for id in ["a", "b", "b"] {
            roll.add(id);
        }
        assert_eq!((roll.len(), places.load(Ordering::Relaxed)), (2, STRANGERS + 4));
        roll.remove("a");
        roll.remove("a");
        assert_eq!((roll.len(), places.load(Ordering::Relaxed)), (1, STRANGERS + 2));
    }
}
