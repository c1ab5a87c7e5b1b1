//! What the listeners count.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::family::{Family, Value};

/// A listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The Unix socket.
    Unix,
    /// The TCP listener, with TLS or without.
    Tcp,
    /// The listener for probes alone.
    Health,
    /// The sockets of all sandboxes.
    Sandboxes,
}

impl Door {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Unix, "unix"), (Self::Tcp, "tcp"), (Self::Health, "health"), (Self::Sandboxes, "sandboxes")];
}

/// Why a connection is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The client is done.
    Ended,
    /// The protocol or the transport broke.
    Failed,
    /// Nothing was said in time, or not who they are.
    Silent,
    /// TLS did not come about.
    Handshake,
    /// There was no request on it for too long.
    Idle,
    /// It was the first to go when there was no room for another.
    Displaced,
    /// Its peer may not come in.
    Peer,
    /// The gateway went away.
    Stopped,
}

impl Closed {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Ended, "ended"),
        (Self::Failed, "failed"),
        (Self::Silent, "silent"),
        (Self::Handshake, "handshake"),
        (Self::Idle, "idle"),
        (Self::Displaced, "displaced"),
        (Self::Peer, "peer"),
        (Self::Stopped, "stopped"),
    ];
}

/// The connections of one listener. Every one that is accepted is [`DoorCounters::opened`] and later
/// [`DoorCounters::closed`], or [`DoorCounters::refused`] and nothing else.
#[derive(Debug, Default)]
pub struct DoorCounters {
    accepted: AtomicU64,
    open: AtomicI64,
    closed: [AtomicU64; Closed::ALL.len()],
}

impl DoorCounters {
    /// A connection was accepted.
    pub fn opened(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that was opened is no more.
    pub fn closed(&self, how: Closed) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.closed[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was accepted and closed at once.
    pub fn refused(&self, why: Closed) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.closed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        u64::try_from(self.open.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// All listeners, by [`Door`].
pub(super) type Doors = [std::sync::Arc<DoorCounters>; Door::ALL.len()];

/// The families of all listeners.
pub(super) fn families(doors: &Doors) -> [Family; 3] {
    let mut accepted = Family::counter(
        "openshell_gateway_connections_accepted_total",
        "Connections that were accepted, by listener.",
    );
    let mut open =
        Family::gauge("openshell_gateway_connections_open", "Connections that are open, by listener.");
    let mut closed = Family::counter(
        "openshell_gateway_connections_closed_total",
        "Connections that were closed, by listener and reason.",
    );
    for ((_, door), counters) in Door::ALL.iter().zip(doors) {
        accepted.push([("door", *door)], Value::Integer(counters.accepted.load(Ordering::Relaxed)));
        open.push([("door", *door)], Value::Integer(counters.open()));
        for ((_, reason), count) in Closed::ALL.iter().zip(&counters.closed) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                closed.push([("door", *door), ("reason", *reason)], Value::Integer(count));
            }
        }
    }
    [accepted, open, closed]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_its_own() {
        for (at, (door, _)) in Door::ALL.iter().enumerate() {
            assert_eq!(*door as usize, at);
        }
        for (at, (closed, _)) in Closed::ALL.iter().enumerate() {
            assert_eq!(*closed as usize, at);
        }
    }

    #[test]
    fn a_connection_is_counted_in_and_out() {
        let counters = DoorCounters::default();
        counters.opened();
        counters.opened();
        counters.refused(Closed::Peer);
        assert_eq!(counters.open(), 2);
        counters.closed(Closed::Idle);
        counters.closed(Closed::Ended);
        assert_eq!(counters.open(), 0);
        assert_eq!(counters.accepted.load(Ordering::Relaxed), 3);
    }
}
