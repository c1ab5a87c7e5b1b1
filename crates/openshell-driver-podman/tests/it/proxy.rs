//! An engine that fails at the request of a test's choice: a proxy before the real one.
//!
//! One request a connection, so that what is passed on needs no parsing: the request's head is read, told to close, and
//! from there on bytes go both ways.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The engine never hears of it, and an error is answered.
    Refused,
    /// The engine does it, and its answer is lost.
    Unheard,
}

/// Which requests fail, counted from now.
#[derive(Debug, Default)]
struct Plan {
    seen: Vec<String>,
    /// From which request on, and how many.
    fails: Option<(usize, usize, Failure)>,
}

/// A socket before a service's.
pub(crate) struct Proxy {
    pub(crate) socket: PathBuf,
    plan: Arc<Mutex<Plan>>,
    _directory: tempfile::TempDir,
}

impl Proxy {
    pub(crate) fn new(engine: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("podman.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a listener");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let plan = Arc::<Mutex<Plan>>::default();
        let (engine, shared) = (engine.to_owned(), Arc::clone(&plan));
        // A thread of its own: the test's clean-up blocks the test's runtime, and goes through here.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = UnixListener::from_std(listener).expect("a listener");
                while let Ok((client, _)) = listener.accept().await {
                    let (engine, plan) = (engine.clone(), Arc::clone(&shared));
                    // Whoever goes away meanwhile ends its own connection alone.
                    tokio::spawn(async move {
                        let _ = pass(client, &engine, &plan).await;
                    });
                }
            });
        });
        Self { socket, plan, _directory: directory }
    }

    /// From now on, the `first` request (from 1) and those after it fail, `count` in all.
    pub(crate) fn fail(&self, first: usize, count: usize, how: Failure) {
        *self.plan.lock().expect("a plan") = Plan { seen: Vec::new(), fails: Some((first, count, how)) };
    }

    /// Ends the failing; the requests since it began, and whether one of them failed.
    pub(crate) fn heal(&self) -> (Vec<String>, bool) {
        let plan = std::mem::take(&mut *self.plan.lock().expect("a plan"));
        let failed = plan.fails.is_some_and(|(first, _, _)| plan.seen.len() >= first);
        (plan.seen, failed)
    }
}

impl Plan {
    fn next(&mut self, request: &str) -> Option<Failure> {
        self.seen.push(request.to_owned());
        let (first, count, how) = self.fails?;
        (first..first.saturating_add(count)).contains(&self.seen.len()).then_some(how)
    }
}

async fn pass(mut client: UnixStream, engine: &Path, plan: &Mutex<Plan>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let failure = plan.lock().expect("a plan").next(&line);
    if failure == Some(Failure::Refused) {
        let body = r#"{"message":"the test says no"}"#;
        let head =
            "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        return client.write_all(answer.as_bytes()).await;
    }
    let mut engine = UnixStream::connect(engine).await?;
    engine.write_all(&head[..end]).await?;
    engine.write_all(b"\r\nConnection: close").await?;
    engine.write_all(&head[end..]).await?;
    if failure == Some(Failure::Unheard) {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_engine, mut to_engine) = engine.split();
        let mut answer = Vec::new();
        // All of the answer: by then the engine has done what it was asked for.
        tokio::select! {
            _ = tokio::io::copy(&mut from_client, &mut to_engine) => {}
            _ = from_engine.read_to_end(&mut answer) => {}
        }
        return to_client.shutdown().await;
    }
    tokio::io::copy_bidirectional(&mut client, &mut engine).await.map(|_| ())
}
