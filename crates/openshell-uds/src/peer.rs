//! Who is at the other end of a socket, and whether it may be.

use std::fmt;
use std::io;

use tokio::net::UnixStream;

/// What the kernel says of a connected peer. On the accepting side it describes the process that connected, on the
/// connecting side the one that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCredentials {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id; further groups of the peer are not known.
    pub gid: u32,
    /// The process, where the platform tells.
    pub pid: Option<i32>,
}

impl PeerCredentials {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When the socket has none, which a connected one always has.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let found = stream.peer_cred()?;
        Ok(Self { uid: found.uid(), gid: found.gid(), pid: found.pid() })
    }
}

impl fmt::Display for PeerCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {}, gid {}", self.uid, self.gid)?;
        match self.pid {
            Some(pid) => write!(f, ", pid {pid}"),
            None => Ok(()),
        }
    }
}

/// Whom to accept: one's own user and root always, and whomever the operator lists; of these one process alone, where
/// one is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Further user ids.
    pub allowed_uids: Vec<u32>,
    /// Group ids; a peer's effective group counts.
    pub allowed_gids: Vec<u32>,
    /// Whoever reaches the socket: what they show decides, and not who they are.
    pub anybody: bool,
    /// The one process that is meant, for two that start each other; on a platform that does not tell, nobody is.
    pub pid: Option<i32>,
}

impl PeerPolicy {
    /// Whether `peer` may be at the other end of a socket of this process.
    #[must_use]
    pub fn admits(&self, peer: &PeerCredentials) -> bool {
        self.admits_to(rustix::process::geteuid().as_raw(), peer)
    }

    /// Whether the operator lists nobody.
    #[must_use]
    pub fn is_private(&self) -> bool {
        !self.anybody && self.allowed_uids.is_empty() && self.allowed_gids.is_empty()
    }

    fn admits_to(&self, own_uid: u32, peer: &PeerCredentials) -> bool {
        let trusted = self.anybody
            || peer.uid == own_uid
            || peer.uid == 0
            || self.allowed_uids.contains(&peer.uid)
            || self.allowed_gids.contains(&peer.gid);
        trusted && !self.means_another(peer)
    }

    /// Whether a process is named, and this is not it.
    pub(crate) fn means_another(&self, peer: &PeerCredentials) -> bool {
        self.pid.is_some() && self.pid != peer.pid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32) -> PeerCredentials {
        PeerCredentials { uid, gid, pid: Some(7) }
    }

    #[test]
    fn a_policy_admits_oneself_root_and_the_listed() {
        let private = PeerPolicy::default();
        let shared = PeerPolicy { allowed_uids: vec![1001], allowed_gids: vec![500], ..private.clone() };
        let anybody = PeerPolicy { anybody: true, ..private.clone() };
        let [seven, eight] = [7, 8].map(|pid| PeerPolicy { pid: Some(pid), ..shared.clone() });
        for (policy, peer, admitted) in [
            (&anybody, peer(65534, 65534), true),
            (&private, peer(1000, 1000), true),
            (&private, peer(0, 0), true),
            (&private, peer(1001, 1000), false),
            (&private, peer(1001, 0), false),
            (&shared, peer(1001, 1), true),
            (&shared, peer(1002, 500), true),
            (&shared, peer(1002, 1002), false),
            // An allowed uid is no allowed gid.
            (&shared, peer(500, 1001), false),
            // A process that is named is no user that is trusted.
            (&seven, peer(1000, 1000), true),
            (&seven, peer(1001, 1), true),
            (&seven, peer(1002, 1002), false),
            (&eight, peer(1000, 1000), false),
            (&eight, peer(0, 0), false),
            (&eight, PeerCredentials { uid: 0, gid: 0, pid: None }, false),
        ] {
            assert_eq!(policy.admits_to(1000, &peer), admitted, "{peer} under {policy:?}");
        }
    }
}
