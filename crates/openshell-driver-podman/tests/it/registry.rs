//! A door of the test's own before the testbed's registry: it can ask for credentials, hold pulls back until it is opened, and
//! go away.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::bench::{skip, socket};

const NAME: &str = "openshell-test/busybox";
/// The first byte of a TLS connection (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// A registry.
pub(crate) struct Registry {
    pub(crate) address: String,
    api: Api,
    seen: Arc<Mutex<Vec<String>>>,
    open: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Registry {
    /// A registry that lets in who sends `accepts` as its `Authorization`, or everybody. `None`, and a word about it, when
    /// there is no service to pull from it, or no registry behind it.
    pub(crate) async fn new(accepts: Option<&'static str>) -> Option<Self> {
        let api = Api { socket: socket().await? };
        let Ok(behind) = std::env::var("OPENSHELL_TEST_REGISTRY") else {
            skip("no OPENSHELL_TEST_REGISTRY");
            return None;
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address").to_string();
        let (open, opened) = watch::channel(true);
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (behind, noted, opened) = (behind.clone(), Arc::clone(&noted), opened.clone());
                tokio::spawn(async move {
                    // A client that goes away is none of the test's business.
                    let _ = serve(client, &behind, accepts, &noted, opened).await;
                });
            }
        });
        Some(Self { address, api, seen, open, server })
    }

    /// The test's image there.
    pub(crate) fn image(&self) -> String {
        format!("{}/{NAME}:1", self.address)
    }

    /// The configuration of a driver that trusts it, with a policy.
    pub(crate) fn config(&self, policy: &str) -> String {
        format!("insecure_registries = ['{}']\npull_policy = '{policy}'\nstop_timeout = 0\n", self.address)
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
        seen.iter().filter(|line| line.contains("/manifests/1 ")).count()
    }

    /// Ends it: from now on nobody answers.
    pub(crate) async fn end(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// Takes its tag off the engine, as if the image had never been pulled.
    pub(crate) async fn forget(&self) {
        self.api.post(&format!("/images/{}/untag", self.image()), &serde_json::Value::Null).await;
    }
}

/// Ends it, and takes its tag away: declared before a bench, it is dropped after that one's containers are gone.
impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
        let (api, path) = (self.api.clone(), format!("/images/{}", self.image()));
        // A thread of its own: this runs inside of the test's runtime, also while it unwinds.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(api.delete(&path));
        });
        let _ = cleaner.join();
    }
}

/// One request a connection.
async fn serve(
    mut client: TcpStream,
    behind: &str,
    accepts: Option<&str>,
    seen: &Mutex<Vec<String>>,
    mut open: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut head = vec![client.read_u8().await?];
    // An engine tries TLS first.
    if head[0] == HANDSHAKE {
        return Ok(());
    }
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let (line, headers) = text.split_once("\r\n").unwrap_or_default();
    seen.lock().expect("what was seen").push(line.to_owned());
    let of = |header: &str, wanted: &str| {
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
    };
    let said = headers.lines().find_map(|header| of(header, "authorization"));
    if accepts.is_some() && said.as_deref() != accepts {
        let denied = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"test\"\r\nContent-Length: 0\r\n\
                      Docker-Distribution-Api-Version: registry/2.0\r\nConnection: close\r\n\r\n";
        client.write_all(denied.as_bytes()).await?;
        return client.shutdown().await;
    }
    if line.contains("/manifests/") {
        let _ = open.wait_for(|open| *open).await;
    }
    let kept: String = headers
        .lines()
        .filter(|header| of(header, "connection").is_none() && of(header, "authorization").is_none())
        .filter(|header| !header.is_empty())
        .map(|header| format!("{header}\r\n"))
        .collect();
    let mut registry = TcpStream::connect(behind).await?;
    registry.write_all(format!("{line}\r\n{kept}Connection: close\r\n\r\n").as_bytes()).await?;
    tokio::io::copy(&mut registry, &mut client).await?;
    client.shutdown().await
}
