//! A thread that owns a connection: jobs in, results out, in order. One writes, and another one reads, so that a
//! client who looks does not wait for the disk of one who changes.

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The thread's handle. Dropping it lets the jobs under way finish and closes the file.
pub(super) struct Worker {
    running: Mutex<Option<Running>>,
}

struct Running {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the thread; `lock` is held as long as the connection lives, and no longer.
    pub(super) fn spawn(name: &str, connection: Connection, lock: Option<File>) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(connection, lock, queue))
            .map_err(StoreError::Thread)?;
        Ok(Self { running: Mutex::new(Some(Running { jobs, thread })) })
    }

    /// Runs `job` on the thread. A caller that goes away does not stop it.
    pub(super) async fn run<T, J>(&self, job: J) -> Result<T, StoreError>
    where
        T: Send + 'static,
        J: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody waits for the answer any more: the job is done all the same.
            let _unread = reply.send(job(connection));
        });
        let sent = self.running().as_ref().map(|running| running.jobs.send(job));
        match sent {
            Some(Ok(())) => answer.await.map_err(|_| StoreError::Closed)?,
            _ => Err(StoreError::Closed),
        }
    }

    /// Lets the jobs under way finish, and closes the file; later jobs are refused.
    pub(super) async fn close(&self) {
        let running = self.running().take();
        if let Some(running) = running {
            // The wait is for jobs and a checkpoint; if it cannot be waited for, it happens all the same.
            let _waited = tokio::task::spawn_blocking(move || running.end()).await;
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        // No code that may panic runs under this lock.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn end(self) {
        let Self { jobs, thread } = self;
        drop(jobs);
        // The last handle may be dropped by a job, on the thread itself.
        if thread.thread().id() != std::thread::current().id() {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let running = self.running().take();
        if let Some(running) = running {
            running.end();
        }
    }
}

fn work(mut connection: Connection, lock: Option<File>, queue: mpsc::Receiver<Job>) {
    for job in queue {
        // A job that panics drops its transaction, which rolls it back; its caller is told that the store is closed.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&mut connection)));
        if outcome.is_err() {
            tracing::error!("a job of the store panicked and was rolled back");
        }
    }
    // Closed, and only then is the file anybody else's to open.
    drop(connection);
    drop(lock);
}
