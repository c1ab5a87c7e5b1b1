//! Why the gateway's program fails, with what can be done about it.

use std::path::PathBuf;

use openshell_core::config::{Location, Problem, Problems};
use openshell_core::identity::IdentityError;
use openshell_core::paths::PathError;
use openshell_core::selection::SelectionError;
use openshell_core::shell::{FAILURE, Remedy, USAGE};
use openshell_driver_api::DriverError;
use openshell_front::TlsError;
use openshell_front::certs::CertsError;
use openshell_front::token::TokenError;
use openshell_runtime::{RuntimeError, StoreError};
use openshell_uds::BindError;

use crate::doors::TcpError;

/// Why a gateway does not start, or has to end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Config(#[from] Problems),
    #[error("{error}")]
    Selection {
        error: SelectionError,
        /// The line of gateway.toml that asked for it.
        at: Option<Box<Location>>,
    },
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the driver `{name}` does not start")]
    Driver {
        name: String,
        #[source]
        source: Box<DriverError>,
    },
    #[error(transparent)]
    Runtime(#[from] Box<RuntimeError>),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Tcp(#[from] TcpError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Of the gateway's own, at a start or at the command that is about it.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Of an identity, which somebody configured.
    #[error(transparent)]
    Identities(TokenError),
    /// Of the tokens of sandboxes, at a start.
    #[error("the key of the sandboxes' tokens cannot be used")]
    SandboxKey {
        path: PathBuf,
        #[source]
        source: TokenError,
    },
    /// Of what sandboxes on other hosts know the gateway by, at a start.
    #[error("the CA of the sandboxes cannot be used")]
    SandboxCa {
        /// Where it is.
        dir: PathBuf,
        #[source]
        source: CertsError,
    },
    #[error(transparent)]
    Certificates(#[from] CertsError),
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// Of a driver that is a program, before anything is bound.
    #[error("the program of the driver `{name}` cannot be used")]
    Program {
        name: String,
        #[source]
        source: Box<DriverError>,
    },
    /// Of the sandboxes, before anything is bound.
    #[error("the supervisor for sandboxes cannot be used: {why}")]
    Supervisor { why: String, hints: Vec<String> },
    #[error("the driver `{name}` refuses its configuration")]
    Refused {
        name: String,
        program: PathBuf,
        /// The program's own words.
        said: String,
    },
}

impl Remedy for StartError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Config(problems) => problems.hints(),
            Self::Selection { error, .. } => error.hints(),
            Self::Path(error) => error.hints(),
            Self::Identity(error) => error.hints(),
            Self::Store(error) => error.hint().into_iter().collect(),
            Self::Bind(error) => error.hint().into_iter().collect(),
            Self::Tcp(error) => error.hints(),
            Self::Tls(error) => error.hints(),
            Self::Token(error) | Self::Identities(error) => error.hints(),
            Self::SandboxKey { source: TokenError::Malformed { .. }, path } => vec![format!(
                "have another made: rm {}; the sandboxes that there are then have to be made anew",
                path.display()
            )],
            Self::SandboxKey { source, .. } => source.hints(),
            Self::SandboxCa {
                dir,
                source: CertsError::Half { .. } | CertsError::Foreign { .. } | CertsError::Expired { .. },
            } => vec![format!(
                "have another made: rm {0}/sandbox-ca.crt {0}/sandbox-ca.key; the sandboxes that there are then have to be \
                 made anew",
                dir.display()
            )],
            Self::SandboxCa { source: error, .. } | Self::Certificates(error) => error.hints(),
            Self::Driver { source, .. } | Self::Program { source, .. } => {
                source.hint().map(str::to_owned).into_iter().collect()
            }
            Self::Supervisor { hints, .. } => hints.clone(),
            Self::Refused { program, .. } => vec![format!("{} --check-config", program.display())],
            Self::Runtime(_) | Self::Io { .. } => Vec::new(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Selection { .. } | Self::Tls(_) | Self::Identities(_) => USAGE,
            Self::Program { .. } | Self::Refused { .. } | Self::Supervisor { .. } => USAGE,
            _ => FAILURE,
        }
    }

    fn render(&self) -> String {
        match self {
            // They have their own form, with the lines of the file.
            Self::Config(problems) => problems.render(),
            // The program has shown those lines.
            Self::Refused { program, said, .. } if !said.trim().is_empty() => {
                format!("{}\nnote: `{}` says so\n", said.trim_end(), program.display())
            }
            Self::Selection { error, at: Some(at) } => {
                let problem = Problem::at(at.as_ref().clone(), error.to_string());
                error.hints().into_iter().fold(problem, Problem::hint).render("error")
            }
            _ => openshell_core::shell::render(self, &self.hints()),
        }
    }
}
