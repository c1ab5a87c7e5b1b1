//! Why a store cannot be opened or used, and what to do about it.

use std::io;
use std::path::PathBuf;

/// An error of the store. Whatever it is, the file is as it was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The path ends in `/` or `..`.
    #[error("the database `{}` has no file name", path.display())]
    NoFileName {
        /// The path.
        path: PathBuf,
    },
    /// The directory cannot be used.
    #[error("the directory `{}` of the database cannot be used", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is something else at the path.
    #[error("the database `{}` is {found}, not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// `a directory`, `a socket`, …
        found: &'static str,
    },
    /// The path is a link to nothing.
    #[error("the database `{}` is a symbolic link to `{}`, which does not exist", path.display(), target.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// It cannot be opened or read.
    #[error("the database `{}` cannot be opened", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can be read and not written.
    #[error("the database `{}` is read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("the database `{}` is in use by another gateway", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Some other kind of file.
    #[error("`{}` is not an SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A database of some other program.
    #[error("the SQLite database `{}` was not made by a gateway", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later gateway made it.
    #[error("the database `{}` has schema {found}, and this gateway knows schemas up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that this build knows.
        known: i64,
    },
    /// It is damaged.
    #[error("the database `{}` is damaged: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        problem: String,
    },
    /// An older schema, and the copy that is made before it is touched could not be.
    #[error("the database has an older schema, and no copy of it could be made at `{}`", path.display())]
    Backup {
        /// The copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An older schema that could not be brought up to date.
    #[error("the database `{}` could not be brought from schema {from} to {to}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// Its schema.
        from: i64,
        /// The one of this build.
        to: i64,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// A row that this gateway cannot read.
    #[error("the row `{id}` has an unreadable `{column}`")]
    Row {
        /// The sandbox or the workspace.
        id: String,
        /// The column.
        column: &'static str,
    },
    /// There is no space left.
    #[error("the disk of the database is full")]
    Full,
    /// Something else, a person's `sqlite3` perhaps, holds it for longer than it was waited.
    #[error("another program holds the database")]
    Locked,
    /// The writing thread could not be started.
    #[error("the store's thread cannot be started")]
    Thread(#[source] io::Error),
    /// The store was closed, or a job of it panicked.
    #[error("the store is closed")]
    Closed,
    /// Anything else that SQLite says.
    #[error("the database refused")]
    Sqlite(#[source] rusqlite::Error),
}

impl StoreError {
    /// What to do about it, as a command where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoFileName { .. } => {
                "give a file, as in `--db-url sqlite:/var/lib/openshell/gateway.db`".to_owned()
            }
            Self::Directory { path, .. } => format!("make it writable: `chmod u+rwx '{}'`", path.display()),
            Self::NotAFile { .. } => {
                "name a file inside it, as in `--db-url sqlite:DIRECTORY/gateway.db`".to_owned()
            }
            Self::DanglingLink { path, .. } => format!("remove the link: `rm '{}'`", path.display()),
            Self::Unreadable { path, .. } | Self::ReadOnly { path } => {
                format!("make it writable: `chmod u+rw '{}'`", path.display())
            }
            Self::InUse { path } => format!("find the other gateway: `fuser -v '{}'`", path.display()),
            Self::NotADatabase { path } | Self::Foreign { path } => {
                format!("look what it is: `file '{}'`, and name another file with `--db-url`", path.display())
            }
            Self::Newer { path, known, .. } => format!(
                "run the newer gateway, or go back to the copy that it kept of the older file, without what came \
                 later: `ls -l '{}'.v{known}-backup*`",
                path.display()
            ),
            Self::Corrupt { path, .. } => format!(
                "put it aside and save what can be read: `sqlite3 '{0}' .recover | sqlite3 '{0}.recovered'`",
                path.display()
            ),
            Self::Backup { path, .. } | Self::Migration { path, .. } => {
                let directory = path.parent().unwrap_or(path);
                format!(
                    "see whether there is room and leave to write: `df -h '{0}'; ls -ld '{0}'`",
                    directory.display()
                )
            }
            Self::Full => "see what fills it: `df -h`".to_owned(),
            _ => return None,
        })
    }

    /// Sorts an error of SQLite that came up while `path` was being opened.
    pub(super) fn while_opening(error: rusqlite::Error, path: &std::path::Path) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, problem: error.to_string() },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            _ => error.into(),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::Locked,
            _ => Self::Sqlite(error),
        }
    }
}
