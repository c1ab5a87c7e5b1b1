//! The store's file: what survives, and what is refused and left as it is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use openshell_runtime::{Life, Record, Store, StoreError};

fn record(number: usize) -> Record {
    Record {
        id: format!("id-{number}"),
        name: format!("n{number}"),
        workspace: "default".to_owned(),
        driver: "fake".to_owned(),
        spec: [1, 2, 3].into(),
        labels: [("k".to_owned(), number.to_string())].into(),
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        created_at_ms: 5,
        deleted_at_ms: None,
        resource_version: 1,
        life: Life::new(5),
    }
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(path)
}

async fn filled(path: &Path, rows: usize) {
    let store = open(path).expect("opens");
    for number in 0..rows {
        assert!(store.insert(record(number)).await.expect("inserted"));
    }
}

/// Opens a path that is no good, and checks that neither it nor what lies beside it was changed.
fn refused(path: &Path) -> StoreError {
    let before = fs::read(path).ok();
    let error = open(path).expect_err("refused");
    assert_eq!(fs::read(path).ok(), before, "the file was touched");
    assert!(error.hint().is_some(), "no hint: {error}");
    error
}

#[tokio::test]
async fn what_is_written_is_read_and_a_name_is_taken_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new").join("deep").join("gateway.db");
    let store = open(&path).unwrap();
    assert!(store.insert(record(1)).await.unwrap());
    assert!(!store.insert(Record { id: "other".to_owned(), ..record(1) }).await.unwrap());
    assert_eq!(store.get("id-1").await.unwrap(), Some(record(1)));
    assert_eq!(store.get("other").await.unwrap(), None);
    drop(store);
    assert_eq!(open(&path).unwrap().get("id-1").await.unwrap(), Some(record(1)));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[tokio::test]
async fn one_gateway_a_file_by_whatever_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.db");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::InUse { .. })));
    let link = directory.path().join("link.db");
    symlink(&path, &link).unwrap();
    let error = open(&link).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(first);
    assert!(open(&link).is_ok());
}

#[test]
fn what_is_no_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (name, content) in [
        ("garbage", b"\x00\xff garbage".repeat(100)),
        ("text", b"hello".to_vec()),
        ("short", b"SQLite format 3\0".to_vec()),
        ("crlf", b"a\r\nb\r\n".repeat(50)),
    ] {
        fs::write(path(name), content).unwrap();
        assert!(matches!(refused(&path(name)), StoreError::NotADatabase { .. }), "{name}");
        assert!(!path(&format!("{name}.lock")).exists(), "litter beside {name}");
    }
    fs::create_dir(path("dir")).unwrap();
    assert!(matches!(refused(&path("dir")), StoreError::NotAFile { found: "a directory", .. }));
    let _socket = std::os::unix::net::UnixListener::bind(path("sock")).unwrap();
    assert!(matches!(refused(&path("sock")), StoreError::NotAFile { found: "a socket", .. }));
    symlink(path("nowhere"), path("dangling")).unwrap();
    assert!(matches!(refused(&path("dangling")), StoreError::DanglingLink { .. }));
    assert!(!path("nowhere").exists());
    let inside = path("text").join("gateway.db");
    assert!(matches!(refused(&inside), StoreError::Unreadable { .. }));
    let unmakeable = Path::new("/proc/nowhere/gateway.db");
    assert!(matches!(refused(unmakeable), StoreError::Directory { .. }));
}

#[test]
fn an_empty_file_is_a_new_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.db");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_damaged_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.db");
    filled(&path, 200).await;
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 16 * 1024);

    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::Corrupt { .. }), "truncated: {error}");

    let mut scribbled = whole.clone();
    scribbled[8192..12_288].fill(0xa5);
    fs::write(&path, &scribbled).unwrap();
    let error = refused(&path);
    assert!(matches!(error, StoreError::Corrupt { .. }), "scribbled: {error}");

    fs::write(&path, &whole).unwrap();
    assert_eq!(open(&path).unwrap().count().await.unwrap(), 200);
}

#[tokio::test]
async fn a_newer_schema_and_a_stranger_s_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.db");
    filled(&path, 3).await;
    {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
    }
    let error = refused(&path);
    assert!(matches!(error, StoreError::Newer { found: 99, known: 3, .. }), "{error}");

    let stranger = directory.path().join("stranger.db");
    {
        let connection = rusqlite::Connection::open(&stranger).unwrap();
        connection.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    }
    assert!(matches!(refused(&stranger), StoreError::Foreign { .. }));
}

#[test]
fn a_read_only_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.db");
    drop(open(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        println!("skipped: this user may write what is read-only");
        return;
    }
    assert!(matches!(refused(&path), StoreError::ReadOnly { .. }));
}

/// Not a test of its own: the process that `a_killed_writer_loses_nothing` kills.
#[tokio::test]
async fn writer_to_be_killed() {
    let Ok(path) = std::env::var("OPENSHELL_TEST_KILLED_STORE") else { return };
    let store = open(Path::new(&path)).unwrap();
    for number in 0.. {
        assert!(store.insert(record(number)).await.unwrap());
        println!("acknowledged {number}");
    }
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.db");
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["store::writer_to_be_killed", "--exact", "--nocapture"])
            .env("OPENSHELL_TEST_KILLED_STORE", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            // The first line shares its own with the harness's.
            let Some((_, number)) = line.split_once("acknowledged ") else { continue };
            acknowledged = number.parse::<usize>().unwrap() + 1;
            if acknowledged > 20 + round * 17 {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let store = open(&path).unwrap();
        let count = usize::try_from(store.count().await.unwrap()).unwrap();
        assert!(count >= acknowledged, "{acknowledged} were acknowledged, {count} are there");
        for number in 0..acknowledged {
            assert_eq!(store.get(&format!("id-{number}")).await.unwrap(), Some(record(number)));
        }
        drop(store);
        for suffix in ["", "-wal", "-shm"] {
            let _absent = fs::remove_file(format!("{}{suffix}", path.display()));
        }
    }
}
