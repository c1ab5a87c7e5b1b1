//! Why no driver can run, in words that say what to do.

use std::fmt;
use std::path::PathBuf;

use super::{NameError, Source, Wanted};
use crate::catalog::EXTERNAL;
use crate::cli;
use crate::detect::Probes;
use crate::shell::Remedy;
use crate::suggest::quoted;

/// Why no driver can run. Texts are fixed by tests: people search for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Nobody knows the name.
    #[error("no such compute driver: `{name}` (from {})", .origin.names_key())]
    NoSuchDriver {
        /// The name as it was written.
        name: String,
        /// Who wrote it.
        origin: Source,
        /// The nearest name.
        nearest: Option<String>,
        /// All names.
        all: Vec<String>,
    },
    /// The manifest has it, this build does not.
    #[error("{0}")]
    NotCompiledIn(Box<MissingDriver>),
    /// It does not run on this platform at all.
    #[error("the compute driver `{name}` does not run on this platform; it runs on: {}", .platforms.join(", "))]
    WrongPlatform {
        /// Which.
        name: String,
        /// Where it runs, as cfg words.
        platforms: Vec<String>,
        /// Whether this build can dial a driver behind a socket.
        external: bool,
    },
    /// It is behind a socket, and nobody says which.
    #[error("the compute driver `{name}` runs behind a socket, and no socket is given")]
    SocketMissing {
        /// Which.
        name: String,
        /// A socket that was given by a source below the one that names the driver, and therefore does not count.
        ignored: Option<(Source, PathBuf)>,
    },
    /// A name that cannot be one.
    #[error("{problem} (from {})", .origin.names_key())]
    BadName {
        /// Who wrote it.
        origin: Source,
        /// What is wrong with it.
        problem: NameError,
    },
    /// A socket without a path.
    #[error("the path of the compute driver's socket is empty (from {})", .0.socket_key())]
    EmptySocket(Source),
    /// A name for a driver behind a socket that no table of `gateway.toml` could have.
    #[error(
        "`{name}` cannot be the name of a compute driver: lower-case letters, digits and `-`, a letter first"
    )]
    MalformedName {
        /// The name.
        name: String,
    },
    /// Several at once.
    #[error("one compute driver at a time: {} names {}", .origin.names_key(), quoted(.names))]
    Several {
        /// Who wrote it.
        origin: Source,
        /// What.
        names: Vec<String>,
    },
    /// Two sockets from one source.
    #[error(
        "two sockets for one compute driver: `{}` from {} and `{}` from {}",
        .named.display(), .origin.names_key(), .given.display(), .origin.socket_key()
    )]
    TwoSockets {
        /// Who wrote it.
        origin: Source,
        /// In `external:PATH`.
        named: PathBuf,
        /// By itself.
        given: PathBuf,
    },
    /// Nobody named one, and no backend is here.
    #[error("{0}")]
    NothingDetected(NothingDetected),
}

/// A driver that this build leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingDriver {
    /// Which.
    pub name: String,
    /// What asked for it.
    pub wanted: Wanted,
    /// The cargo feature that brings it.
    pub feature: String,
    /// What this build has.
    pub have: Vec<String>,
    /// What a build has to name: this build's drivers and this one, in the manifest's order.
    pub build: Vec<String>,
    /// Its standalone program.
    pub program: Option<String>,
    /// Whether this build can dial a driver behind a socket.
    pub external: bool,
}

impl fmt::Display for MissingDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the compute driver `{}` is not in this build of the gateway", self.name)?;
        match &self.wanted {
            Wanted::Named(source) => writeln!(f, "  asked for by: {}", source.names_key())?,
            Wanted::Socket(key) => writeln!(f, "  asked for by: {key}, which needs it")?,
        }
        writeln!(
            f,
            "  this build has: {}",
            if self.have.is_empty() { "none".to_owned() } else { self.have.join(", ") }
        )?;
        write!(f, "  cargo feature: {}", self.feature)
    }
}

/// Detection without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NothingDetected {
    /// What was looked at and found, in order.
    pub probes: Probes,
    /// A driver of this build that can be named, when there is one besides external.
    pub example: Option<String>,
    /// Whether this build can dial a driver behind a socket.
    pub external: bool,
}

impl fmt::Display for NothingDetected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no compute driver is named, and none was detected")?;
        if self.probes.is_empty() {
            return f.write_str("\n  no driver of this project can be detected");
        }
        for line in self.probes.lines() {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl Remedy for SelectionError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoSuchDriver { nearest, all, .. } => {
                let mut hints = Vec::new();
                if let Some(nearest) = nearest {
                    // By itself that name would be the next error.
                    let how = if nearest == EXTERNAL {
                        "--compute-driver-socket /path/to/driver.sock".to_owned()
                    } else {
                        format!("--drivers {nearest}")
                    };
                    hints.push(format!("did you mean `{nearest}`? openshell-gateway {how}"));
                }
                hints.push(format!("the drivers are: {}", all.join(", ")));
                hints.push("see what this build has: openshell-gateway drivers".to_owned());
                hints
            }
            Self::NotCompiledIn(missing) => missing.hints(),
            Self::WrongPlatform { name, external: true, .. } => {
                vec![format!(
                    "a driver behind a socket can be of any kind: openshell-gateway --drivers {name} --compute-driver-socket PATH"
                )]
            }
            Self::SocketMissing { name, ignored } => socket_hints(name, ignored.as_ref()),
            Self::BadName { problem: NameError::EmptyPath(_), .. } | Self::EmptySocket(_) => {
                vec!["openshell-gateway --compute-driver-socket /path/to/driver.sock".to_owned()]
            }
            Self::Several { names, .. } => {
                names.first().map(|name| format!("openshell-gateway --drivers {name}")).into_iter().collect()
            }
            Self::TwoSockets { given, .. } => {
                vec![format!("openshell-gateway --compute-driver-socket {}", given.display())]
            }
            Self::NothingDetected(nothing) => nothing.hints(),
            Self::BadName { .. } => vec!["see what this build has: openshell-gateway drivers".to_owned()],
            Self::WrongPlatform { .. } | Self::MalformedName { .. } => Vec::new(),
        }
    }
}

/// The three ways to give a socket, and the fourth for a driver with a table of its own.
fn socket_hints(name: &str, ignored: Option<&(Source, PathBuf)>) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some((source, path)) = ignored {
        hints.push(format!(
            "the socket from {} does not count, because the driver is named by a source above it; give both in one: \
             openshell-gateway --drivers {name} --compute-driver-socket {}",
            source.socket_key(),
            path.display()
        ));
    }
    let with_name = if name == EXTERNAL { String::new() } else { format!("--drivers {name} ") };
    hints
        .push(format!("the flag: openshell-gateway {with_name}--compute-driver-socket /path/to/driver.sock"));
    hints.push(format!("the variable: {}=/path/to/driver.sock", cli::ENV_DRIVER_SOCKET));
    hints.push("the key: compute_driver_socket = \"/path/to/driver.sock\" in [openshell.gateway]".to_owned());
    if name != EXTERNAL {
        hints.push(format!("or: driver_socket = \"/path/to/driver.sock\" in [openshell.drivers.{name}]"));
    }
    hints
}

impl MissingDriver {
    fn hints(&self) -> Vec<String> {
        let mut hints = vec![
            format!("build a gateway with it: cargo xtask build --drivers {}", self.build.join(",")),
            "or take the full build, which has every driver: cargo xtask build --all".to_owned(),
        ];
        if self.external {
            match &self.program {
                Some(program) => {
                    hints.push(format!("or run it as a program beside this gateway: {program} --bind-socket /path/to/driver.sock"));
                    hints.push(format!(
                        "and: openshell-gateway --drivers {} --compute-driver-socket /path/to/driver.sock",
                        self.name
                    ));
                }
                None => hints.push(
                    "or, once it runs: openshell-gateway --compute-driver-socket /path/to/driver.sock"
                        .to_owned(),
                ),
            }
        }
        hints
    }
}

impl NothingDetected {
    fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        if let Some(name) = &self.example {
            hints.push(format!("name one: openshell-gateway --drivers {name}"));
        }
        if self.external {
            hints.push(
                "give the socket of one: openshell-gateway --compute-driver-socket /path/to/driver.sock"
                    .to_owned(),
            );
        }
        hints.push("see what this build has: openshell-gateway drivers".to_owned());
        hints
    }
}
