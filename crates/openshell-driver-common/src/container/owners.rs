//! Which numbers a user's name stands for in an image, remembered: looking it up takes an engine longer than anything else
//! that is asked of it before a start.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::files::Owner;

/// How many answers are remembered.
const MOST: usize = 1024;

/// Answers by an image's id, which means the same files for ever, and `user[:group]`.
#[derive(Debug, Default)]
pub struct Owners(Mutex<HashMap<(String, String), Owner>>);

impl Owners {
    /// What has been learnt of a user of an image.
    #[must_use]
    pub fn known(&self, image: &str, user: &str) -> Option<Owner> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(image.to_owned(), user.to_owned())).copied()
    }

    /// Remembers an answer. When there are too many, all are forgotten.
    pub fn learn(&self, image: &str, user: &str, owner: Owner) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((image.to_owned(), user.to_owned()), owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_that_image_s_and_memory_is_bounded() {
        let (owners, owner) = (Owners::default(), Owner { uid: 7, gid: 8 });
        owners.learn("sha256:a", "web", owner);
        assert_eq!(owners.known("sha256:a", "web"), Some(owner));
        assert_eq!(owners.known("sha256:b", "web"), None);
        for number in 0..MOST {
            owners.learn(&number.to_string(), "web", owner);
        }
        assert!(owners.0.lock().expect("a lock").len() <= MOST);
    }
}
