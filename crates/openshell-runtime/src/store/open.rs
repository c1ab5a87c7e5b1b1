//! Opening the file: looked at first, locked, checked, and only then written.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use super::migrate::migrate;
use super::schema::{APPLICATION_ID, VERSION};

/// An open connection and one more that only reads, their file, and the lock that keeps others away as long as it lives.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) reader: Connection,
    pub(super) path: PathBuf,
    pub(super) lock: File,
}

/// The first bytes of every SQLite file; see "Database File Format" of SQLite, section 1.3.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER: usize = 100;
/// How many prepared statements a connection keeps: every one of ours, and selectors of a few shapes.
const STATEMENTS: usize = 32;

pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    if look(path)? {
        // Before a lock is made beside it: it may be anybody's.
        read_header(path)?;
    }
    make_directory(path)?;
    // Two names of one file are one store: the lock and the journal lie beside the file itself.
    let path = canonical(path)?;
    let lock = lock(&path)?;
    let connection = connect(&path)?;
    let reader = connect_reader(&path).map_err(|error| StoreError::while_opening(error, &path))?;
    Ok(Opened { connection, reader, path, lock })
}

/// Whether there is a file; refuses everything that is none.
fn look(path: &Path) -> Result<bool, StoreError> {
    let unreadable = |source| StoreError::Unreadable { path: path.to_owned(), source };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match fs::read_link(path) {
                Ok(target) => Err(StoreError::DanglingLink { path: path.to_owned(), target }),
                Err(_) => Ok(false),
            };
        }
        Err(error) => return Err(unreadable(error)),
    };
    let kind = metadata.file_type();
    let found = if kind.is_file() {
        return Ok(true);
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device"
    };
    Err(StoreError::NotAFile { path: path.to_owned(), found })
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn make_directory(path: &Path) -> Result<(), StoreError> {
    let directory = directory_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| StoreError::Directory { path: directory.to_owned(), source })
}

fn canonical(path: &Path) -> Result<PathBuf, StoreError> {
    let directory = directory_of(path);
    let unusable = |source| StoreError::Directory { path: directory.to_owned(), source };
    match fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path.file_name().ok_or(StoreError::NoFileName { path: path.to_owned() })?;
            Ok(fs::canonicalize(directory).map_err(unusable)?.join(name))
        }
        Err(error) => Err(unusable(error)),
    }
}

/// Takes the lock `PATH.lock`. The file stays when the lock goes: removing it would let two gateways in.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let directory = directory_of(path).to_owned();
    let unusable = |source| StoreError::Directory { path: directory.clone(), source };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(PathBuf::from(name))
        .map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Reads the file's own header, so that what is not ours is refused before SQLite opens, and perhaps mends, it.
fn read_header(path: &Path) -> Result<(), StoreError> {
    let unreadable = |source| StoreError::Unreadable { path: path.to_owned(), source };
    let mut header = Vec::with_capacity(HEADER);
    File::open(path).map_err(unreadable)?.take(HEADER as u64).read_to_end(&mut header).map_err(unreadable)?;
    if header.is_empty() {
        // What SQLite leaves when it was killed before its first page.
        return Ok(());
    }
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        return Err(StoreError::NotADatabase { path: path.to_owned() });
    }
    let number = |at: usize| i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (user_version, application_id) = (number(60), number(68));
    judge(path, i64::from(user_version), application_id)
}

/// Zero and zero is a file whose first transaction is still in the journal, or a stranger's; the tables tell later.
fn judge(path: &Path, user_version: i64, application_id: i32) -> Result<(), StoreError> {
    let path = path.to_owned();
    match (application_id, user_version) {
        (0, 0) => Ok(()),
        (APPLICATION_ID, found) if found > VERSION => Err(StoreError::Newer { path, found, known: VERSION }),
        (APPLICATION_ID, 1..) => Ok(()),
        _ => Err(StoreError::Foreign { path }),
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let opening = |error| StoreError::while_opening(error, path);
    make_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(opening)?;
    // Until the checks have passed and the schema is ours, closing must not fold the journal into the file.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(opening)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(opening)?;
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(opening)? {
        return Err(StoreError::ReadOnly { path: path.to_owned() });
    }
    check(&connection, path)?;
    tighten(path)?;
    configure(&connection).map_err(opening)?;
    migrate(&mut connection, path)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(opening)?;
    Ok(connection)
}

/// A second connection to a file that the first one has looked at and brought up to date. In WAL a reader waits for no
/// writer: see "Write-Ahead Logging" of SQLite, section 2.2.
fn connect_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Makes the file 0600 before SQLite would make it with the umask's mode; its journals take the file's mode.
fn make_file(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::Unreadable { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Takes the file from others, who may have been let in by a copy: specs hold environments.
fn tighten(path: &Path) -> Result<(), StoreError> {
    let unreadable = |source| StoreError::Unreadable { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(unreadable)
}

fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let opening = |error| StoreError::while_opening(error, path);
    let pragma =
        |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(opening);
    let (user_version, application_id) = (pragma("user_version")?, pragma("application_id")?);
    judge(path, user_version, i32::try_from(application_id).unwrap_or(-1))?;
    let mut statement = connection.prepare("PRAGMA quick_check(1)").map_err(opening)?;
    let verdict: String = statement.query_row([], |row| row.get(0)).map_err(opening)?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt { path: path.to_owned(), problem: verdict });
    }
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0)).map_err(opening)?;
    if user_version == 0 && tables > 0 {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    Ok(())
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}
