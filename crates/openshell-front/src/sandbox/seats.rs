//! The connections of one sandbox on a listener that it has not for itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Guest;
use crate::listen::{Seat, Taken};

/// Connections of one sandbox: its supervisor needs one, and one more when it reconnects.
const CONNECTIONS: usize = 2;

/// Where they are; the oldest makes room for the newest, as all of them have shown the same sandbox's token.
#[derive(Debug, Default)]
pub(crate) struct Seats(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    closed: bool,
    seats: Vec<Seat>,
}

impl Seats {
    /// Takes a connection for the sandbox; `false` when it is another's, or the sandbox is gone.
    pub(super) fn take(&self, sandbox: &Arc<str>, guest: &Guest) -> bool {
        let mut inside = self.inside();
        if inside.closed {
            return false;
        }
        match guest.take_for(sandbox) {
            Taken::Before => true,
            Taken::ByAnother => false,
            Taken::Now => {
                inside.seats.retain(Seat::is_taken);
                if inside.seats.len() >= CONNECTIONS {
                    inside.seats.remove(0).clear();
                }
                inside.seats.push(guest.seat());
                true
            }
        }
    }

    /// Clears all of them for good.
    pub(super) fn close(&self) {
        let mut inside = self.inside();
        inside.closed = true;
        for seat in inside.seats.drain(..) {
            seat.clear();
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::guests_for_tests as guests;

    #[test]
    fn the_oldest_of_a_sandbox_makes_room_and_nobody_sits_twice() {
        let (seats, other) = (Seats::default(), Seats::default());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let inside = guests(CONNECTIONS + 2);
        for place in &inside[..CONNECTIONS] {
            assert!(seats.take(&a, &place.guest()));
            assert!(seats.take(&a, &place.guest()), "it has its seat");
        }
        assert!(!other.take(&b, &inside[1].guest()), "a connection is one sandbox's");
        assert!(inside.iter().all(|place| !place.is_displaced()));
        assert!(seats.take(&a, &inside[CONNECTIONS].guest()));
        assert!(inside[0].is_displaced() && !inside[1].is_displaced());
        assert!(other.take(&b, &inside[CONNECTIONS + 1].guest()), "others have seats of their own");
        seats.close();
        assert!(inside[1..=CONNECTIONS].iter().all(|place| place.is_displaced()));
        assert!(!inside[CONNECTIONS + 1].is_displaced());
        assert!(!seats.take(&a, &guests(1)[0].guest()), "the sandbox is gone");
    }

    #[test]
    fn a_seat_whose_connection_has_ended_is_free() {
        let (seats, a): (_, Arc<str>) = (Seats::default(), "a".into());
        let first = guests(1);
        assert!(seats.take(&a, &first[0].guest()));
        for _ in 0..2 * CONNECTIONS {
            assert!(seats.take(&a, &guests(1)[0].guest()));
        }
        assert!(!first[0].is_displaced());
    }
}
