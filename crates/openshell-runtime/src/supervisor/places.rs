//! How many streams of a kind a sandbox has, so that what one holds of memory is bounded for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Streams of lines of one sandbox at a time: a supervisor has one, and those of connections that broke unnoticed.
pub(super) const MOST_PUSHING: usize = 4;

/// The places of every sandbox.
pub(crate) struct Places {
    most: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// A place, which is free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    sandbox: String,
}

impl Places {
    /// So many for each.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// Takes a place; `None` when there is none.
    pub(super) fn enter(self: &Arc<Self>, sandbox: &str) -> Option<Place> {
        let mut taken = self.taken();
        let count = taken.entry(sandbox.to_owned()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { places: Arc::clone(self), sandbox: sandbox.to_owned() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // No code that may panic runs under this lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.sandbox) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.sandbox);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sandbox_has_so_many_and_nothing_is_kept_of_those_that_have_none() {
        let places = Places::new(2);
        let first = places.enter("a").expect("a place");
        let _second = places.enter("a").expect("a place");
        assert!(places.enter("a").is_none());
        drop(places.enter("b").expect("another's"));
        drop(first);
        drop(places.enter("a").expect("it is free again"));
        assert_eq!(places.taken().len(), 1);
    }
}
