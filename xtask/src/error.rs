//! What a subcommand can fail with, and how it is shown: its own layer in one line, the causes below, then a
//! `hint:` with a command that runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A subcommand's result: the exit code of a run that did what it was asked, or why it could not.
pub(crate) type Result<T = ExitCode> = std::result::Result<T, Error>;

/// Why a subcommand could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No workspace above the current directory.
    #[error("no `drivers.toml` here or in a directory above")]
    NoWorkspace,
    /// A file or directory that cannot be read or written.
    #[error("cannot {action} `{path}`", path = .path.display())]
    File {
        /// `read`, `write`, `create` …
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A program that cannot be started.
    #[error("cannot run `{program}`")]
    Spawn {
        /// Which.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Faults of `drivers.toml`, rendered with their source lines already.
    #[error("{rendered}")]
    Manifest {
        /// All of them.
        rendered: String,
    },
    /// The request cannot be met.
    #[error("{message}")]
    Refused {
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A file holds what it must not, or nobody can say that it does not.
    #[error("{message}")]
    Unverified {
        /// Which, and why.
        message: String,
        /// What to do.
        hint: String,
        /// 1 for a leak, 2 where nothing can be certified.
        code: u8,
    },
    /// Something is there that nobody agreed to: beyond a budget, or not in a list.
    #[error("{message}")]
    Unagreed {
        /// What, and by how much.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Cargo failed and has said why on standard error.
    #[error("`{line}` failed with exit code {code}")]
    Cargo {
        /// The command line.
        line: String,
        /// Cargo's exit code, which becomes ours.
        code: u8,
    },
    /// A program's output is not what it promises.
    #[error("the output of `{program}` cannot be understood: {message}")]
    Output {
        /// Which.
        program: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// A file error, for `map_err`.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// A refusal with a remedy.
    pub(crate) fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: Some(hint.into()) }
    }

    /// What cannot be certified, and a remedy; an empty one is not printed.
    pub(crate) fn uncertain(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unverified { message: message.into(), hint: hint.into(), code: 2 }
    }

    /// A refusal that says which file it is about.
    pub(crate) fn about(self, shown: &str) -> Self {
        self.within(&format!("`{shown}`"))
    }

    /// A refusal that says, in words, what it is a part of.
    pub(crate) fn within(self, place: &str) -> Self {
        match self {
            Self::Refused { message, hint } => Self::Refused { message: format!("{place}: {message}"), hint },
            other => other,
        }
    }

    /// An edit of the manifest that cannot be made.
    pub(crate) fn edit(error: &driver_manifest::EditError) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            message.push_str(&format!("\n  because: {}", cause.to_string().trim_end()));
            source = cause.source();
        }
        Self::Refused { message, hint: error.hint() }
    }

    /// Output that cannot be understood.
    pub(crate) fn output(program: &str, message: impl ToString) -> Self {
        Self::Output { program: program.to_owned(), message: message.to_string() }
    }

    /// The command that mends it.
    fn hint(&self) -> Option<&str> {
        match self {
            Self::NoWorkspace => Some("run `cargo xtask` inside the repository"),
            Self::Refused { hint, .. } => hint.as_deref(),
            Self::Unverified { hint, .. } => Some(hint.as_str()).filter(|hint| !hint.is_empty()),
            Self::Unagreed { hint, .. } => Some(hint),
            _ => None,
        }
    }

    /// Cargo's own exit code where cargo failed, 2 for a request or a manifest that is wrong, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Cargo { code, .. } | Self::Unverified { code, .. } => ExitCode::from(*code),
            Self::Refused { .. } | Self::Manifest { .. } | Self::NoWorkspace => ExitCode::from(2),
            Self::File { .. } | Self::Spawn { .. } | Self::Output { .. } | Self::Unagreed { .. } => {
                ExitCode::FAILURE
            }
        }
    }

    /// Prints it, its causes and its hint to standard error.
    pub(crate) fn print(&self) {
        if let Self::Manifest { rendered } = self {
            eprintln!("{}", rendered.trim_end());
            return;
        }
        eprintln!("error: {self}");
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            eprintln!("  because: {cause}");
            source = cause.source();
        }
        if let Some(hint) = self.hint() {
            eprintln!("hint: {hint}");
        }
    }
}
