//! A service of the test's own: it answers each request, on a connection of its own, with the bytes that it is told to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// One thing that is done to a connection.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write(Vec<u8>),
    Wait(Duration),
    /// Until the other side has closed it.
    Hold,
}

/// What a request was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// `GET /v4.0.0/libpod/info`.
    pub(crate) line: String,
    /// All headers as they came.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A service, until it is dropped.
pub(crate) struct Fake {
    directory: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// How many connections are open.
    open: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Answers every request as `answer` says.
    pub(crate) fn new(answer: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("s")).expect("a listener");
        let (asked, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (log, count, answer) = (Arc::clone(&asked), Arc::clone(&open), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (log, count, answer) = (Arc::clone(&log), Arc::clone(&count), Arc::clone(&answer));
                *count.lock().expect("a count") += 1;
                tokio::spawn(async move {
                    let request = read(&mut stream).await;
                    log.lock().expect("a log").push(request.clone());
                    for step in answer(&request) {
                        match step {
                            Step::Write(bytes) => drop(stream.write_all(&bytes).await),
                            Step::Wait(time) => tokio::time::sleep(time).await,
                            Step::Hold => {
                                while stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
                            }
                        }
                    }
                    *count.lock().expect("a count") -= 1;
                });
            }
        });
        Self { directory, asked, open, task }
    }

    /// Where it is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("a log").clone()
    }

    /// Waits until no connection is open.
    pub(crate) async fn left_alone(&self) {
        while *self.open.lock().expect("a count") > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Goes away as a service does that is killed.
    pub(crate) fn vanish(&self) {
        self.task.abort();
        let _ = std::fs::remove_file(self.socket());
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut UnixStream) -> Asked {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).await.unwrap_or_default();
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return Asked::default();
            }
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if count == 0 || body.len() >= length.unwrap_or(0_usize) {
            let line = head.lines().next().unwrap_or_default();
            let line = line.rsplit_once(' ').map_or(line, |(line, _)| line).to_owned();
            return Asked { line, head: head.to_owned(), body: body.to_owned() };
        }
    }
}

/// A whole answer.
pub(crate) fn reply(status: u16, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![Step::Write(format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes())]
}

/// The answer to a ping, with a version of libpod's API.
pub(crate) fn ping(version: &str) -> Vec<Step> {
    let text = format!("HTTP/1.1 200 OK\r\nLibpod-Api-Version: {version}\r\nContent-Length: 2\r\n\r\nOK");
    vec![Step::Write(text.into_bytes())]
}

/// The head of an answer without an end.
pub(crate) fn endless() -> Step {
    Step::Write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec())
}

/// A part of such an answer.
pub(crate) fn chunk(text: &str) -> Step {
    Step::Write(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// Where nobody listens.
pub(crate) fn nowhere() -> PathBuf {
    Path::new("/nonexistent/podman.sock").to_owned()
}
