//! Why a driver program does not start, or had to end.

use std::io;

use openshell_core::config::Problems;
use openshell_core::identity::IdentityError;
use openshell_core::paths::PathError;
use openshell_core::shell::{self, FAILURE, Remedy, USAGE};
use openshell_driver_api::DriverError;
use openshell_uds::BindError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error(transparent)]
    Config(#[from] Problems),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the driver `{name}` does not start")]
    Driver {
        name: &'static str,
        #[source]
        source: DriverError,
    },
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        #[source]
        source: io::Error,
    },
}

impl Remedy for ProgramError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Config(problems) => problems.hints(),
            Self::Path(error) => error.hints(),
            Self::Identity(error) => error.hints(),
            Self::Bind(error) => error.hint().into_iter().collect(),
            Self::Driver { source, .. } => source.hint().map(str::to_owned).into_iter().collect(),
            Self::Io { .. } => Vec::new(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => USAGE,
            _ => FAILURE,
        }
    }

    fn render(&self) -> String {
        match self {
            // They have their own form, with the lines of the file.
            Self::Config(problems) => problems.render(),
            _ => shell::render(self, &self.hints()),
        }
    }
}
