//! A registry of the test's own address: a proxy before the one that is there, which can ask for credentials, and hold a
//! pull back until it is let go.

use std::sync::{Arc, Mutex};

use bollard::query_parameters::RemoveImageOptionsBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bench::{Bench, skip};

/// A registry that passes on what it may.
pub(crate) struct Registry {
    pub(crate) address: String,
    seen: Arc<Mutex<Vec<String>>>,
    open: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Registry {
    /// Before the testbed's registry; `accepts` is the one `Authorization` that is let through. `None`, and a word about
    /// it, when there is none.
    pub(crate) async fn new(accepts: Option<&'static str>) -> Option<Self> {
        let Ok(upstream) = std::env::var("OPENSHELL_TEST_REGISTRY") else {
            println!("skipped: no OPENSHELL_TEST_REGISTRY");
            return None;
        };
        if TcpStream::connect(&upstream).await.is_err() {
            skip(&format!("no registry at {upstream}"));
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address").to_string();
        let (open, opened) = watch::channel(true);
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, noted, opened) = (upstream.clone(), Arc::clone(&noted), opened.clone());
                tokio::spawn(async move {
                    // A client that goes away is none of the test's business.
                    let _ = serve(client, &upstream, accepts, &noted, opened).await;
                });
            }
        });
        Some(Self { address, seen, open, server })
    }

    /// The test's image there.
    pub(crate) fn image(&self) -> String {
        format!("{}/openshell-test/busybox:1", self.address)
    }

    /// Holds every manifest back.
    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    /// Lets them go.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// How often a manifest was asked for by its tag.
    pub(crate) fn pulls(&self) -> usize {
        let seen = self.seen.lock().expect("what was seen");
        seen.iter().filter(|line| line.starts_with("HEAD ") && line.contains("/manifests/1 ")).count()
    }

    /// Ends it: from now on nobody answers.
    pub(crate) async fn end(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// Takes its tag off the engine; the image is others' too.
    pub(crate) async fn forget(&self, bench: &Bench) {
        let options = RemoveImageOptionsBuilder::new().force(true).noprune(true).build();
        let _ = bench.docker.remove_image(&self.image(), Some(options), None).await;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One request a connection.
async fn serve(
    mut client: TcpStream,
    upstream: &str,
    accepts: Option<&str>,
    seen: &Mutex<Vec<String>>,
    mut open: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let (line, headers) = text.split_once("\r\n").unwrap_or_default();
    seen.lock().expect("what was seen").push(line.to_owned());
    let said = headers.lines().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
    });
    if accepts.is_some() && said.as_deref() != accepts {
        let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"test\"\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(answer.as_bytes()).await;
    }
    if line.contains("/manifests/") {
        let _ = open.wait_for(|open| *open).await;
    }
    let mut upstream = TcpStream::connect(upstream).await?;
    upstream.write_all(format!("{line}\r\nConnection: close\r\n").as_bytes()).await?;
    for header in headers.lines().filter(|header| !header.is_empty()) {
        let name = header.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(name.as_str(), "connection" | "authorization") {
            upstream.write_all(format!("{header}\r\n").as_bytes()).await?;
        }
    }
    upstream.write_all(b"\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await.map(|_| ())
}
