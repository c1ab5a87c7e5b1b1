//! The gateway's memory: one SQLite file, one thread that writes it and one that reads, nothing acknowledged before it is
//! on the disk.
//!
//! `synchronous=FULL` under WAL: a commit that returned survives `kill -9` and a power cut. A file that cannot be used
//! is left as it is found, byte for byte. A second gateway on the same file is refused by a lock beside it.

mod codec;
mod db;
mod error;
mod migrate;
mod open;
mod record;
mod schema;
mod worker;
mod workspaces;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub(crate) use db::{Db, Filter};
pub use error::StoreError;
use open::Opened;
pub(crate) use record::Inserted;
pub use record::{Record, Workspace};
use worker::Worker;

use crate::stats::StoreCounters;

/// An open store. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Store {
    // In this order they are dropped: the writer goes last, and folds the journal into the file.
    reader: Arc<Worker>,
    writer: Arc<Worker>,
    counters: Arc<StoreCounters>,
    path: Arc<Path>,
}

impl Store {
    /// Opens the store in the file `path`, and makes it (0600, in a directory 0700) where there is none.
    ///
    /// # Errors
    /// [`StoreError`], with the file as it was.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let Opened { connection, reader, path, lock } = open::open(path)?;
        let writer = Arc::new(Worker::spawn("store", connection, Some(lock))?);
        let reader = Arc::new(Worker::spawn("store-reader", reader, None)?);
        Ok(Self { reader, writer, counters: Arc::default(), path: Arc::from(path) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the file and gives up its lock, whoever holds a clone; what is asked of it later is refused.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Whether both threads answer and the file can be read.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.writer.run(|_| Ok(())).await?;
        self.read(|db| db.ping()).await
    }

    /// What was counted.
    pub(crate) fn counters(&self) -> &StoreCounters {
        &self.counters
    }

    /// Runs `job` in a transaction that is committed when it succeeds, and `after` when that is on the disk, before
    /// any later job: what `after` announces is announced in the order of the commits.
    pub(crate) async fn write<T, J, A>(&self, job: J, after: A) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&Db<'_>) -> Result<T, StoreError> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let begun = Instant::now();
        let written = self.writer.run(move |connection| {
            let db = Db::begin(connection, rusqlite::TransactionBehavior::Immediate)?;
            let value = job(&db)?;
            db.commit()?;
            after(&value);
            Ok(value)
        });
        let written = written.await;
        self.counters.wrote(begun.elapsed());
        written
    }

    /// Runs `job` on a consistent view of the store, in which is everything that was committed before the call.
    pub(crate) async fn read<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&Db<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let begun = Instant::now();
        let read = self
            .reader
            .run(move |connection| job(&Db::begin(connection, rusqlite::TransactionBehavior::Deferred)?));
        let read = read.await;
        self.counters.read(begun.elapsed());
        read
    }

    /// Stores a new sandbox. `false`, and nothing is stored, when its name is taken in its workspace or its workspace
    /// takes none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert(&self, record: Record) -> Result<bool, StoreError> {
        self.write(move |db| Ok(db.insert(&record)? == Inserted::Stored), |_| ()).await
    }

    /// The sandbox of that id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: &str) -> Result<Option<Record>, StoreError> {
        let id = id.to_owned();
        self.read(move |db| db.get(&id)).await
    }

    /// How many sandboxes there are, of every driver and workspace.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self) -> Result<u64, StoreError> {
        self.read(|db| db.count()).await
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Life;

    fn record(number: usize) -> Record {
        Record {
            id: number.to_string(),
            name: number.to_string(),
            workspace: "default".to_owned(),
            driver: "fake".to_owned(),
            spec: vec![0; 10_000].into(),
            labels: [("k".to_owned(), "v".to_owned())].into(),
            annotations: std::collections::BTreeMap::new(),
            created_at_ms: 0,
            deleted_at_ms: None,
            resource_version: 1,
            life: Life::new(0),
        }
    }

    #[tokio::test]
    async fn a_full_disk_costs_nothing_that_was_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let url = directory.path().join("gateway.db");
        let store = Store::open(&url).unwrap();
        let limit = |connection: &mut rusqlite::Connection| {
            connection
                .pragma_update_and_check(None, "max_page_count", 50, |_| Ok(()))
                .map_err(StoreError::from)
        };
        store.writer.run(limit).await.unwrap();
        let mut stored = 0;
        let error = loop {
            match store.insert(record(stored)).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full), "{error}");
        assert!(stored > 5);
        drop(store);
        let store = Store::open(&url).unwrap();
        assert_eq!(store.count().await.unwrap(), stored as u64);
        assert!(store.insert(record(stored)).await.unwrap(), "it works again");
    }

    #[tokio::test]
    async fn a_job_that_fails_or_panics_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("gateway.db")).unwrap();
        let failing = |db: &Db<'_>| {
            db.insert(&record(1))?;
            Err::<(), _>(StoreError::Full)
        };
        assert!(matches!(store.write(failing, |()| ()).await, Err(StoreError::Full)));
        let panicking = |db: &Db<'_>| -> Result<(), StoreError> {
            db.insert(&record(1))?;
            panic!("on purpose")
        };
        assert!(matches!(store.write(panicking, |()| ()).await, Err(StoreError::Closed)));
        assert_eq!(store.count().await.unwrap(), 0);
        assert!(store.insert(record(1)).await.unwrap());
    }

    /// A reader holds on to what it reads, and the journal with it: it must let go again.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_journal_does_not_grow_while_others_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.db");
        let store = Store::open(&path).unwrap();
        let (over, reading) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), store.clone());
        let until = Arc::clone(&over);
        let reader = tokio::spawn(async move {
            let filter = Filter { limit: 100, ..Filter::default() };
            while !until.load(std::sync::atomic::Ordering::Relaxed) {
                let filter = filter.clone();
                reading.read(move |db| db.list(&filter, usize::MAX)).await.unwrap();
            }
        });
        store.insert(record(0)).await.unwrap();
        let mut largest = 0;
        for number in 1..1500 {
            store.insert(record(number)).await.unwrap();
            let seen = store.get(&number.to_string()).await.unwrap();
            assert!(seen.is_some(), "{number} was answered");
            largest = largest.max(std::fs::metadata(path.with_extension("db-wal")).unwrap().len());
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.await.unwrap();
        // A checkpoint is due at 1,000 pages of 4 KiB; a list may be in its way for a while.
        assert!(largest < 16 * 1024 * 1024, "{largest} bytes for some 22 MiB that were written");
    }

    #[tokio::test]
    async fn another_program_that_holds_the_file_is_in_the_way_of_writers_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.db");
        let store = Store::open(&path).unwrap();
        store.insert(record(1)).await.unwrap();
        let hurry = |connection: &mut rusqlite::Connection| {
            Ok(connection.busy_timeout(std::time::Duration::from_millis(10))?)
        };
        store.writer.run(hurry).await.unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(matches!(store.insert(record(2)).await, Err(StoreError::Locked)));
        assert!(store.get("1").await.unwrap().is_some());
        other.execute_batch("COMMIT").unwrap();
        assert!(store.insert(record(2)).await.unwrap());
    }

    #[tokio::test]
    async fn what_goes_takes_its_labels_along() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("gateway.db")).unwrap();
        store.insert(record(1)).await.unwrap();
        store.write(|db| db.remove("1"), |()| ()).await.unwrap();
        assert!(store.insert(record(1)).await.unwrap());
    }
}
