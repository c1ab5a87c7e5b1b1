//! A store of an older schema: what becomes of it, and that it is whole whatever goes wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use openshell_runtime::{Desired, Phase, Step, Store, StoreError};
use rusqlite::Connection;

const V1: &str = include_str!("../fixtures/schema-v1.sql");
const V2: &str = include_str!("../fixtures/schema-v2.sql");
/// The schema of this build.
const NOW: i64 = 3;

fn old_store(directory: &Path) -> PathBuf {
    store_of(directory, V1)
}

fn store_of(directory: &Path, schema: &str) -> PathBuf {
    let path = directory.join("gateway.db");
    Connection::open(&path).expect("as prepared").execute_batch(schema).expect("as prepared");
    path
}

/// The copies beside a store, by name.
fn copies(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("as prepared")
        .map(|entry| entry.expect("as prepared").file_name().into_string().expect("as prepared"))
        .filter(|name| name.contains("backup"))
        .collect();
    names.sort();
    names
}

fn version(path: &Path) -> i64 {
    Connection::open(path)
        .expect("as prepared")
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("as prepared")
}

async fn check_rows(store: &Store) {
    assert_eq!(store.count().await.expect("as prepared"), 2);
    let one = store.get("id-1").await.expect("as prepared").expect("as prepared");
    assert_eq!((one.name.as_str(), one.workspace.as_str(), one.resource_version), ("one", "default", 7));
    assert_eq!((one.life.phase, one.life.owed, one.life.made), (Phase::Ready, None, true));
    assert_eq!((one.labels["team"].as_str(), one.annotations["a"].as_str()), ("red", "b"));
    assert_eq!(*one.spec, *b"\x0a\x04debu");
    assert_eq!((one.life.supervisor, one.life.main_process.as_str(), one.life.exit_code), (None, "", None));
    let two = store.get("id-2").await.expect("as prepared").expect("as prepared");
    assert_eq!((two.life.desired, two.life.owed), (Desired::Deleted, Some(Step::Delete)));
    assert_eq!(
        (two.deleted_at_ms, two.life.own.expect("as prepared").message.as_str()),
        (Some(9), "a conflict; trying again")
    );
}

#[tokio::test]
async fn rows_survive_and_a_copy_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = old_store(directory.path());
    let store = Store::open(&path).unwrap();
    check_rows(&store).await;
    store.close().await;
    assert_eq!(version(&path), NOW);
    assert_eq!(copies(directory.path()), ["gateway.db.v1-backup"]);
    let copy = directory.path().join("gateway.db.v1-backup");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let connection = Connection::open(&copy).unwrap();
    let rows: i64 = connection.query_row("SELECT count(*) FROM sandbox", [], |row| row.get(0)).unwrap();
    assert_eq!((version(&copy), rows), (1, 2));
    drop(connection);
    // Once is enough.
    Store::open(&path).unwrap().close().await;
    assert_eq!(copies(directory.path()), ["gateway.db.v1-backup"]);
    // And the copy is a store: moved to where it can be opened, it goes the same way.
    let other = tempfile::tempdir().unwrap();
    let restored = other.path().join("gateway.db");
    fs::copy(&copy, &restored).unwrap();
    check_rows(&Store::open(&restored).unwrap()).await;
}

#[tokio::test]
async fn the_second_schema_keeps_its_workspaces() {
    let directory = tempfile::tempdir().unwrap();
    let path = store_of(directory.path(), V2);
    let store = Store::open(&path).unwrap();
    check_rows(&store).await;
    store.close().await;
    assert_eq!((version(&path), copies(directory.path())), (NOW, vec!["gateway.db.v2-backup".to_owned()]));
    let connection = Connection::open(&path).unwrap();
    let sql = "SELECT id || ' ' || value FROM workspace JOIN workspace_label ON workspace = name WHERE name = 'team'";
    let team: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(team, "0f9d1c5c-6d55-4c1e-9a56-b1f2b8a5d7e2 red");
}

#[tokio::test]
async fn what_is_still_in_the_journal_is_in_the_copy() {
    let directory = tempfile::tempdir().unwrap();
    let path = old_store(directory.path());
    {
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.execute("UPDATE sandbox SET resource_version = 70 WHERE id = 'id-1'", []).unwrap();
        // As after a kill: the file without the change, and the journal with it.
        let (wal, now) = (directory.path().join("gateway.db-wal"), directory.path().join("saved"));
        fs::copy(&wal, &now).unwrap();
        fs::copy(&path, directory.path().join("saved.db")).unwrap();
    }
    fs::rename(directory.path().join("saved.db"), &path).unwrap();
    fs::rename(directory.path().join("saved"), directory.path().join("gateway.db-wal")).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(store.get("id-1").await.unwrap().unwrap().resource_version, 70);
    let copy = Connection::open(directory.path().join("gateway.db.v1-backup")).unwrap();
    let found: i64 = copy
        .query_row("SELECT resource_version FROM sandbox WHERE id = 'id-1'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(found, 70);
}

#[tokio::test]
async fn a_copy_is_never_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = old_store(directory.path());
    let first = directory.path().join("gateway.db.v1-backup");
    fs::write(&first, "precious").unwrap();
    check_rows(&Store::open(&path).unwrap()).await;
    assert_eq!(fs::read(&first).unwrap(), b"precious");
    let names = copies(directory.path());
    let [_, second] = names.as_slice() else { panic!("{names:?}") };
    assert!(second.starts_with("gateway.db.v1-backup-2") && second.ends_with('Z'), "{second}");
    assert_eq!(version(&directory.path().join(second)), 1);
}

#[tokio::test]
async fn without_a_copy_nothing_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = old_store(directory.path());
    // In the way of the copy, for root as for anybody.
    let part = directory.path().join("gateway.db.v1-backup.part");
    fs::create_dir_all(part.join("occupied")).unwrap();
    let before = fs::read(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Backup { .. }), "{error}");
    assert!(error.to_string().contains("gateway.db.v1-backup") && error.hint().unwrap().contains("df -h"));
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_dir_all(part).unwrap();
    check_rows(&Store::open(&path).unwrap()).await;
}

#[test]
fn a_directory_that_is_read_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = old_store(directory.path());
    let before = fs::read(&path).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let opened = Store::open(&path);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    if opened.is_ok() {
        println!("skipped: this user may write where it is forbidden");
        return;
    }
    assert!(matches!(opened, Err(StoreError::Directory { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// Not a test of its own: the process whose files may not grow.
#[test]
fn migration_on_a_full_disk() {
    let Ok(path) = std::env::var("OPENSHELL_TEST_FULL_DISK") else { return };
    let error = Store::open(Path::new(&path)).unwrap_err();
    assert!(matches!(error, StoreError::Backup { .. }), "{error}");
    println!("refused: {error}");
}

#[tokio::test]
async fn a_disk_that_is_full_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = old_store(directory.path());
    {
        let connection = Connection::open(&path).unwrap();
        connection.execute("UPDATE sandbox SET spec = zeroblob(1000000) WHERE id = 'id-2'", []).unwrap();
    }
    let before = fs::read(&path).unwrap();
    // No file of that process may have more than 512 KiB (the unit is 512 bytes: `ulimit` of POSIX): enough for
    // SQLite's own files, too little for the copy.
    let script =
        "trap '' XFSZ; ulimit -f 1024; exec \"$0\" migration::migration_on_a_full_disk --exact --nocapture";
    let test = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(test)
        .env("OPENSHELL_TEST_FULL_DISK", &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("refused: "), "{said}{output:?}");
    assert_eq!(fs::read(&path).unwrap(), before, "the file was touched");
    assert!(copies(directory.path()).is_empty(), "half a copy is none");
    let store = Store::open(&path).unwrap();
    assert_eq!(store.count().await.unwrap(), 2);
}
