//! Which channels are open: at most so many, each under its own id, each to be ended from outside.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How many channels a sandbox may have open at a time.
const LIMIT: usize = 1024;

/// The open channels; its copies are the same list.
#[derive(Debug, Clone, Default)]
pub(super) struct Channels {
    open: Arc<Mutex<HashMap<String, oneshot::Sender<String>>>>,
}

/// Why a channel may not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// There are too many.
    #[error("this sandbox has {LIMIT} channels open, which is all it may have: end one, and try again")]
    Full,
    /// There is one of that name.
    #[error("a channel with this id is open already")]
    Taken,
    /// It has no name.
    #[error("a channel needs an id")]
    Unnamed,
}

/// A channel's place among the open ones, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: String,
    channels: Channels,
}

impl Channels {
    /// Takes a place; the receiver gets the reason when the gateway ends the channel.
    pub(super) fn take(&self, id: &str) -> Result<(Place, oneshot::Receiver<String>), Refusal> {
        if id.is_empty() {
            return Err(Refusal::Unnamed);
        }
        let mut open = self.open();
        let full = open.len() >= LIMIT;
        match open.entry(id.to_owned()) {
            Entry::Occupied(_) => Err(Refusal::Taken),
            Entry::Vacant(_) if full => Err(Refusal::Full),
            Entry::Vacant(place) => {
                let (close, closing) = oneshot::channel();
                place.insert(close);
                Ok((Place { id: id.to_owned(), channels: self.clone() }, closing))
            }
        }
    }

    /// Tells a channel to end; one that is not there has done so.
    pub(super) fn close(&self, id: &str, reason: String) {
        if let Some(close) = self.take_out(id) {
            // It may be ending by itself just now.
            let _ = close.send(reason);
        }
    }

    fn take_out(&self, id: &str) -> Option<oneshot::Sender<String>> {
        let mut open = self.open();
        // Its place stays taken until it has ended: the sender is replaced by one that nobody hears.
        open.get_mut(id).map(|close| std::mem::replace(close, oneshot::channel().0))
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<String>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The channel's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.channels.open().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once_and_free_again_when_its_channel_has_ended() {
        let channels = Channels::default();
        assert_eq!(channels.take("").map(|_| ()), Err(Refusal::Unnamed));
        let (place, mut closing) = channels.take("a").expect("free");
        assert_eq!(channels.take("a").map(|_| ()), Err(Refusal::Taken));
        channels.close("a", "because".to_owned());
        channels.close("a", "twice".to_owned());
        channels.close("b", "never there".to_owned());
        assert_eq!(closing.try_recv(), Ok("because".to_owned()));
        assert_eq!(channels.take("a").map(|_| ()), Err(Refusal::Taken), "it has not ended yet");
        drop(place);
        channels.take("a").expect("free again");
    }

    #[test]
    fn there_is_a_limit() {
        let channels = Channels::default();
        let mut places: Vec<_> =
            (0..LIMIT).map(|number| channels.take(&number.to_string()).expect("free")).collect();
        assert_eq!(channels.take("one more").map(|_| ()), Err(Refusal::Full));
        assert_eq!(channels.take("7").map(|_| ()), Err(Refusal::Taken));
        places.pop();
        channels.take("one more").expect("free again");
    }
}
