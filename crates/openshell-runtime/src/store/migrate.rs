//! Bringing an older file up to date: a copy beside it first, then every step in one exclusive transaction.
//!
//! ```text
//!   FILE (v1) ──VACUUM INTO──▶ FILE.v1-backup.part ──sync, look, link──▶ FILE.v1-backup
//!       └── begin exclusive ──▶ steps ──▶ commit ──▶ FILE (v2)
//! ```
//!
//! Killed at any point, the file is of the old schema or of the new one, never between them. A copy is never written
//! over; it is as private as the file itself.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::StoreError;
use super::schema::{self, VERSION};
use crate::clock::{now_ms, rfc3339};

/// Makes the schema the one of this build: at once for a new file, after a copy for an older one.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let had: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| StoreError::while_opening(error, path))?;
    if had == VERSION {
        return Ok(());
    }
    if had > 0 {
        let copy = back_up(connection, path, had)?;
        tracing::info!(
            store = %path.display(),
            copy = %copy.display(),
            from = had,
            to = VERSION,
            "the store is brought to a newer schema; the copy is kept"
        );
    }
    upgrade(connection, had).map_err(|error| StoreError::Migration {
        path: path.to_owned(),
        from: had,
        to: VERSION,
        source: error,
    })
}

fn upgrade(connection: &mut Connection, had: i64) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    schema::upgrade(&transaction, had)?;
    transaction.commit()
}

/// Copies the database as it is now, with what is still in its journal. The copy has its name only once it is whole and
/// on the disk.
fn back_up(connection: &Connection, path: &Path, version: i64) -> Result<PathBuf, StoreError> {
    let name = with_suffix(path, &format!(".v{version}-backup"));
    let part = with_suffix(&name, ".part");
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Backup { path: name.clone(), source };
    let copied = copy(connection, &part, version).and_then(|()| Ok(keep(&part, &name)?));
    if copied.is_err() {
        // What is left of it is of no use to anybody; that it failed is told already.
        let _absent = fs::remove_file(&part);
    }
    copied.map_err(failed)
}

fn copy(
    connection: &Connection,
    part: &Path,
    version: i64,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // One that was killed may have left its beginning of a copy: ours, for we hold the lock.
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    // SQLite would make it with the umask's mode; it takes a file that is empty. See "VACUUM" of SQLite, section 3.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
    let text = part.to_str().ok_or("the path is not UTF-8")?;
    connection.execute("VACUUM INTO ?1", [text])?;
    file.sync_all()?;
    look(part, version)
}

/// Whether the copy is a whole database of the same schema.
fn look(copy: &Path, version: i64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let copy = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let found: i64 = copy.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let verdict: String = copy.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if found != version || verdict != "ok" {
        return Err(format!("the copy has schema {found} and is {verdict}").into());
    }
    Ok(())
}

/// Gives the copy its name, or where that is taken one with the time; a link, which never replaces anything.
fn keep(part: &Path, name: &Path) -> io::Result<PathBuf> {
    let stamp: String = rfc3339(now_ms()).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let names = std::iter::once(name.to_owned())
        .chain(std::iter::once(with_suffix(name, &format!("-{stamp}"))))
        .chain((2..100).map(|number| with_suffix(name, &format!("-{stamp}-{number}"))));
    for name in names {
        match fs::hard_link(part, &name) {
            Ok(()) => {
                fs::remove_file(part)?;
                sync_directory(&name)?;
                return Ok(name);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Not every file system has links (link(2): EPERM). We hold the store's lock, so that no other gateway
            // takes the name in between.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) =>
            {
                if fs::symlink_metadata(&name).is_err() {
                    fs::rename(part, &name)?;
                    sync_directory(&name)?;
                    return Ok(name);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A name is on the disk when its directory is.
fn sync_directory(name: &Path) -> io::Result<()> {
    name.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Not a test of its own: the process that dies between the copy and the commit.
    #[test]
    fn migration_to_be_killed() {
        let Ok(path) = std::env::var("OPENSHELL_TEST_KILLED_MIGRATION") else { return };
        let mut connection = Connection::open(&path).unwrap();
        back_up(&connection, Path::new(&path), 1).unwrap();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive).unwrap();
        schema::upgrade(&transaction, 1).unwrap();
        // Without a destructor, as a kill would have it.
        std::process::exit(9);
    }

    #[tokio::test]
    async fn killed_between_the_copy_and_the_commit_it_is_done_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.db");
        let fixture = include_str!("../../tests/fixtures/schema-v1.sql");
        Connection::open(&path).unwrap().execute_batch(fixture).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["store::migrate::tests::migration_to_be_killed", "--exact"])
            .env("OPENSHELL_TEST_KILLED_MIGRATION", &path)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(9));
        let version = |path: &Path| -> i64 {
            let connection = Connection::open(path).unwrap();
            connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
        };
        assert_eq!(version(&path), 1, "nothing was committed");
        let store = crate::store::Store::open(&path).unwrap();
        assert_eq!(store.count().await.unwrap(), 2);
        store.close().await;
        assert_eq!(version(&path), VERSION);
        let copies: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("-backup"))
            .collect();
        assert_eq!(copies.len(), 2, "the first copy was kept, too: {copies:?}");
        copies.iter().for_each(|copy| assert_eq!(version(copy), 1, "{copy:?}"));
    }
}
