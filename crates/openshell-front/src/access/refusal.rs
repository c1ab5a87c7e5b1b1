//! Why somebody is turned away, and how that is said: to gRPC in gRPC's words, to plain HTTP in HTTP's.

use std::time::Duration;

use http::StatusCode;
use tonic::{Code, Status};

use crate::Role;

/// When a client may try again, for gRPC clients that look ("gRPC Retry Design", pushback).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Why nobody is known to be at the other end. No text of it shows what was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The listener did not say who is there.
    NoPeer,
    /// A user of this host who is in no identity.
    Uid,
    /// A certificate that is in no identity, where that is no role.
    Certificate,
    /// No token.
    Missing,
    /// More than one `authorization` header.
    Several,
    /// Another scheme than `Bearer`.
    Scheme,
    /// Nothing that a token could be.
    Malformed,
    /// Longer than any token.
    TooLong,
    /// Nobody's token.
    Unknown,
    /// A sandbox's token whose time is over.
    Expired,
    /// Another sandbox's token.
    OtherSandbox,
    /// A sandbox's token that is for something else.
    Purpose,
}

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody knows who asks.
    Denied(Denied),
    /// They may not.
    Role {
        /// What they are.
        has: Role,
        /// What they had to be.
        needs: Role,
    },
    /// They ask too fast.
    Rate {
        /// When they may again.
        wait: Duration,
    },
    /// They ask for too much at once.
    Large {
        /// What they may.
        limit: u64,
    },
    /// They ask on a listener of clients for what is a supervisor's.
    Supervisors,
    /// They ask on a sandbox's socket for what is not.
    NotHere,
}

impl Refusal {
    /// Every reason, for metrics; [`Refusal::reason`] gives one of these.
    pub(crate) const REASONS: [&str; 17] = [
        "no_peer",
        "uid",
        "certificate",
        "missing",
        "several",
        "scheme",
        "malformed",
        "too_long",
        "unknown",
        "expired",
        "other_sandbox",
        "purpose",
        "role",
        "rate",
        "large",
        "supervisors",
        "not_here",
    ];

    /// The place of the reason in [`Refusal::REASONS`].
    pub(crate) fn index(self) -> usize {
        match self {
            Self::Denied(denied) => denied as usize,
            Self::Role { .. } => 12,
            Self::Rate { .. } => 13,
            Self::Large { .. } => 14,
            Self::Supervisors => 15,
            Self::NotHere => 16,
        }
    }

    /// The reason in a word, for logs and metrics.
    pub(crate) fn reason(self) -> &'static str {
        Self::REASONS[self.index()]
    }

    /// The code that a gRPC client gets.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::Denied(_) => Code::Unauthenticated,
            Self::Role { .. } | Self::Supervisors => Code::PermissionDenied,
            Self::NotHere => Code::Unimplemented,
            Self::Rate { .. } | Self::Large { .. } => Code::ResourceExhausted,
        }
    }

    /// The status that a client of plain HTTP gets (RFC 9110, section 15.5; RFC 6585, section 4).
    pub(crate) fn http_status(self) -> StatusCode {
        match self {
            Self::Denied(_) => StatusCode::UNAUTHORIZED,
            Self::Role { .. } | Self::Supervisors => StatusCode::FORBIDDEN,
            Self::NotHere => StatusCode::NOT_FOUND,
            Self::Rate { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Large { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// What a client is told.
    pub(crate) fn message(self) -> String {
        match self {
            Self::Denied(denied) => denied.message().to_owned(),
            Self::Role { has, needs } => {
                format!("this takes the role `{needs}`; this identity has the role `{has}`")
            }
            Self::Supervisors => {
                "this method is for the supervisors of sandboxes, where the gateway listens for these"
                    .to_owned()
            }
            Self::NotHere => {
                "where sandboxes are listened to, there are the methods of their supervisors alone".to_owned()
            }
            Self::Rate { wait } => {
                format!("this identity asks too fast; hint: try again in {} ms", milliseconds(wait))
            }
            Self::Large { limit } => {
                format!("the message is too large: this gateway takes {limit} bytes at most")
            }
        }
    }

    /// The whole answer to a gRPC client.
    pub(crate) fn status(self) -> Status {
        let mut status = Status::new(self.code(), self.message());
        if let Self::Rate { wait } = self
            && let Ok(value) = milliseconds(wait).to_string().parse()
        {
            status.metadata_mut().insert(PUSHBACK, value);
        }
        status
    }
}

impl Denied {
    fn message(self) -> &'static str {
        match self {
            Self::NoPeer => "the gateway does not know where this request comes from",
            Self::Uid => "no identity of this gateway has the user at the other end of the socket",
            Self::Certificate => "no identity of this gateway has this certificate",
            Self::Missing => "who asks? hint: send the gateway's token: `authorization: Bearer TOKEN`",
            Self::Several => "there is more than one `authorization` header",
            Self::Scheme => "`authorization` has a scheme that is not `Bearer`",
            Self::Malformed => "`authorization` has no token, or one with characters that no token has",
            Self::TooLong => "the token is longer than any token",
            Self::Expired => {
                "the sandbox's token has expired; hint: a stopped sandbox gets no new one, make another"
            }
            Self::OtherSandbox => "the token is another sandbox's",
            Self::Purpose => "the token is not for this method; hint: ask for one with RefreshSandboxToken",
            Self::Unknown => {
                "the token is not valid; hint: it may have been replaced, take the one in the gateway's token file"
            }
        }
    }
}

/// Whole milliseconds, and never too early.
fn milliseconds(wait: Duration) -> u128 {
    wait.as_nanos().div_ceil(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_apart() {
        let denied = [
            (Denied::NoPeer, "no_peer"),
            (Denied::Uid, "uid"),
            (Denied::Certificate, "certificate"),
            (Denied::Missing, "missing"),
            (Denied::Several, "several"),
            (Denied::Scheme, "scheme"),
            (Denied::Malformed, "malformed"),
            (Denied::TooLong, "too_long"),
            (Denied::Unknown, "unknown"),
            (Denied::Expired, "expired"),
            (Denied::OtherSandbox, "other_sandbox"),
            (Denied::Purpose, "purpose"),
        ];
        for (denied, reason) in denied {
            assert_eq!(Refusal::Denied(denied).reason(), reason);
            assert_eq!(Refusal::Denied(denied).code(), Code::Unauthenticated);
        }
        assert_eq!(Refusal::Role { has: Role::Read, needs: Role::Use }.reason(), "role");
        assert_eq!(Refusal::Rate { wait: Duration::ZERO }.reason(), "rate");
        assert_eq!(Refusal::Large { limit: 1 }.reason(), "large");
        assert_eq!(Refusal::Supervisors.reason(), "supervisors");
        assert_eq!(Refusal::NotHere.reason(), "not_here");
    }

    #[test]
    fn a_wait_is_told_in_whole_milliseconds_and_never_too_short() {
        let status = Refusal::Rate { wait: Duration::from_micros(99_001) }.status();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.metadata().get(PUSHBACK).unwrap(), "100");
        assert_eq!(status.message(), "this identity asks too fast; hint: try again in 100 ms");
    }
}
