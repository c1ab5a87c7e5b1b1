//! What was asked for, kept apart by who asked: a flag, a variable, `gateway.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Who said something, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Variable,
    /// `gateway.toml`.
    File,
}

impl Source {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Flag, Self::Variable, Self::File];

    /// What names drivers there.
    #[must_use]
    pub fn names_key(self) -> &'static str {
        match self {
            Self::Flag => "`--drivers`",
            Self::Variable => "`OPENSHELL_DRIVERS`",
            Self::File => "`compute_drivers` in gateway.toml",
        }
    }

    /// What gives a socket there.
    #[must_use]
    pub fn socket_key(self) -> &'static str {
        match self {
            Self::Flag => "`--compute-driver-socket`",
            Self::Variable => "`OPENSHELL_COMPUTE_DRIVER_SOCKET`",
            Self::File => "`compute_driver_socket` in gateway.toml",
        }
    }
}

/// What one source says of drivers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// The names, as they were written.
    pub drivers: Vec<String>,
    /// The socket.
    pub socket: Option<PathBuf>,
}

/// What all sources say of drivers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// The command line.
    pub flag: Wish,
    /// The environment.
    pub variable: Wish,
    /// `[openshell.gateway]`.
    pub file: Wish,
    /// `driver_socket` of every `[openshell.drivers.<name>]` that gives one.
    pub sockets: BTreeMap<String, PathBuf>,
}

impl Sources {
    pub(super) fn of(&self, source: Source) -> &Wish {
        match source {
            Source::Flag => &self.flag,
            Source::Variable => &self.variable,
            Source::File => &self.file,
        }
    }

    /// The first source that says anything.
    pub(crate) fn first(&self) -> Option<Source> {
        Source::ALL.into_iter().find(|source| {
            let wish = self.of(*source);
            !wish.drivers.is_empty() || wish.socket.is_some()
        })
    }

    /// Whether the choice is left to the probes. When it is not, there is no reason to run them.
    #[must_use]
    pub fn needs_detection(&self) -> bool {
        self.first().is_none()
    }
}
