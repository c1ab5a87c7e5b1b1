//! What was found out of an image once, remembered: a look into its files takes an engine longer than anything else that is
//! asked of it before a start.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::files::Owner;

/// How many answers are remembered.
const MOST: usize = 1024;

/// Answers by an image's id, which means the same files for ever, and what was asked of it.
#[derive(Debug)]
pub struct Learned<T>(Mutex<HashMap<(String, String), T>>);

/// Which numbers `user[:group]` stands for in an image.
pub type Owners = Learned<Owner>;

impl<T> Default for Learned<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Learned<T> {
    /// What has been learnt of an image.
    #[must_use]
    pub fn known(&self, image: &str, asked: &str) -> Option<T> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(image.to_owned(), asked.to_owned())).cloned()
    }

    /// Remembers an answer. When there are too many, all are forgotten.
    pub fn learn(&self, image: &str, asked: &str, answer: T) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((image.to_owned(), asked.to_owned()), answer);
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
