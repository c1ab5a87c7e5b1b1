//! The kinds of outcome that a script can tell apart: the exit codes.

use tonic::Code;

/// The kinds of outcome that a script can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Failure,
    Usage,
    NotFound,
    AlreadyExists,
    Unavailable,
    Precondition,
    Invalid,
    Deadline,
    Unimplemented,
    Denied,
    Ambiguous,
    Untrusted,
    Interrupted,
    Inside,
}

impl Kind {
    pub(super) const ALL: [Self; 14] = [
        Self::Failure,
        Self::Usage,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Unavailable,
        Self::Precondition,
        Self::Invalid,
        Self::Deadline,
        Self::Unimplemented,
        Self::Denied,
        Self::Ambiguous,
        Self::Untrusted,
        Self::Interrupted,
        Self::Inside,
    ];

    /// What a refusal of the gateway is.
    pub(super) fn of(code: Code) -> Self {
        match code {
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::Unavailable => Self::Unavailable,
            Code::FailedPrecondition | Code::ResourceExhausted | Code::Aborted => Self::Precondition,
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid,
            Code::DeadlineExceeded => Self::Deadline,
            Code::Unimplemented => Self::Unimplemented,
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied,
            _ => Self::Failure,
        }
    }

    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::AlreadyExists => 4,
            Self::Unavailable => 5,
            Self::Precondition => 6,
            Self::Invalid => 7,
            Self::Deadline => 8,
            Self::Unimplemented => 9,
            Self::Denied => 10,
            Self::Ambiguous => 11,
            Self::Untrusted => 12,
            // What a shell says of a program that SIGINT has ended.
            Self::Interrupted => 130,
            // What ssh(1) says of itself, so that all others can be the command's.
            Self::Inside => 255,
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Failure => {
                "it failed, or the sandbox did while --wait waited, or several failed in different ways"
            }
            Self::Usage => "the command line is wrong",
            Self::NotFound => "there is no such sandbox, workspace or gateway",
            Self::AlreadyExists => "the name is taken",
            Self::Unavailable => "the gateway, or the driver behind it, does not answer",
            Self::Precondition => "not in this phase, or not now",
            Self::Invalid => "the gateway or its driver refused the request as wrong",
            Self::Deadline => "it took longer than --timeout or --wait allows",
            Self::Unimplemented => "the gateway or its driver cannot do this",
            Self::Denied => "not allowed",
            Self::Ambiguous => "more than one sandbox or gateway could be meant",
            Self::Untrusted => "the gateway could not be trusted: its certificate, or the way there",
            Self::Interrupted => "interrupted while it waited; the sandbox is left as it is",
            Self::Inside => {
                "`exec` or `connect` itself failed: all other codes of these are the command's own"
            }
        }
    }

    /// The exit codes as `--help` prints them.
    pub(crate) fn table() -> String {
        let mut out = "Exit codes:\n   0  done".to_owned();
        for kind in Self::ALL {
            out += &format!("\n {:>3}  {}", kind.code(), kind.meaning());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_a_line_of_help() {
        let mut codes: Vec<u8> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        codes.dedup();
        assert_eq!(codes, (1..=12).chain([130, 255]).collect::<Vec<u8>>());
        assert_eq!(Kind::table().lines().count(), 16);
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let docs = include_str!("../../../../docs/cli.md");
        for kind in Kind::ALL {
            let row = format!(
                "\n| {} | {} |\n",
                kind.code(),
                kind.meaning().replace("--wait", "`--wait`").replace("--timeout", "`--timeout`")
            );
            assert!(docs.contains(&row), "docs/cli.md lacks {row}");
        }
    }
}
