//! A registry of the test's own, with one image that is nobody else's. It can ask for credentials, and hold a pull back
//! until it is let go.
//!
//! Source of what it answers: the OCI "Distribution Specification", and "Image Manifest Version 2, Schema 2".

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, ListImagesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;

use crate::bench::{Bench, image};

const NAME: &str = "openshell-test/busybox";
/// The label by which its image is known on an engine.
const LABEL: &str = "openshell-test.registry";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The first byte of a TLS connection (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// A registry.
pub(crate) struct Registry {
    pub(crate) address: String,
    content: Arc<Content>,
    docker: bollard::Docker,
    label: String,
    seen: Arc<Mutex<Vec<String>>>,
    open: watch::Sender<bool>,
    server: JoinHandle<()>,
}

/// What it holds: a manifest, and what that names by its digest.
struct Content {
    manifest: (String, Bytes),
    blobs: HashMap<String, Bytes>,
    /// The one `Authorization` that is let through; `None` lets everybody in.
    accepts: Option<&'static str>,
}

fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// The files of the test's image, as one layer.
async fn layer(bench: &Bench) -> &'static Bytes {
    static LAYER: OnceCell<Bytes> = OnceCell::const_new();
    let export = || async {
        let body = ContainerCreateBody {
            image: Some(image()),
            cmd: Some(vec!["true".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let made = bench.docker.create_container(None::<CreateContainerOptions>, body).await;
        let container = made.expect("a container").id;
        let parts: Vec<_> = bench.docker.export_container(&container).collect().await;
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        bench.docker.remove_container(&container, Some(options)).await.expect("it goes");
        parts.into_iter().flat_map(|part| part.expect("a part of its files")).collect()
    };
    LAYER.get_or_init(export).await
}

impl Content {
    /// An image that says of itself where it comes from, which makes it another one than every other test's.
    async fn new(bench: &Bench, address: &str, accepts: Option<&'static str>) -> Self {
        let layer = layer(bench).await;
        let version = bench.docker.version().await.expect("a version");
        let config = json!({
            "architecture": version.arch,
            "os": version.os,
            "config": {"Cmd": ["/bin/sh"], "Labels": {LABEL: label(bench, address)}},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        });
        let config = Bytes::from(config.to_string());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described("application/vnd.docker.container.image.v1+json", &config),
            "layers": [described("application/vnd.docker.image.rootfs.diff.tar", layer)],
        });
        let manifest = Bytes::from(manifest.to_string());
        let blobs = [config, layer.clone()].map(|bytes| (digest(&bytes), bytes)).into();
        Self { manifest: (digest(&manifest), manifest), blobs, accepts }
    }

    /// The status, the type and the digest of what is asked for, and itself.
    fn find(&self, path: &str) -> Option<(&'static str, &str, &Bytes)> {
        let (kind, wanted) =
            path.strip_prefix("/v2/")?.strip_prefix(NAME)?.strip_prefix('/')?.split_once('/')?;
        let (digest, manifest) = &self.manifest;
        match kind {
            "manifests" if wanted == "1" || wanted == digest => Some((MANIFEST, digest, manifest)),
            "blobs" => {
                let (digest, blob) = self.blobs.get_key_value(wanted)?;
                Some(("application/octet-stream", digest, blob))
            }
            _ => None,
        }
    }
}

fn label(bench: &Bench, address: &str) -> String {
    format!("{} {address}", bench.gateway_id)
}

fn described(kind: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": kind, "size": bytes.len(), "digest": digest(bytes)})
}

impl Registry {
    /// A registry that lets in who sends `accepts` as its `Authorization`, or everybody. `None`, and a word about it, when
    /// there is no engine to pull from it.
    pub(crate) async fn new(accepts: Option<&'static str>) -> Option<Self> {
        let bench = Bench::new("").await?;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address").to_string();
        let content = Arc::new(Content::new(&bench, &address, accepts).await);
        let (open, opened) = watch::channel(true);
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (held, noted) = (Arc::clone(&content), Arc::clone(&seen));
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (content, noted, opened) = (Arc::clone(&held), Arc::clone(&noted), opened.clone());
                tokio::spawn(async move {
                    // A client that goes away is none of the test's business.
                    let _ = serve(client, &content, &noted, opened).await;
                });
            }
        });
        let label = format!("{LABEL}={}", label(&bench, &address));
        Some(Self { docker: bench.docker.clone(), address, content, label, seen, open, server })
    }

    /// The test's image there.
    pub(crate) fn image(&self) -> String {
        format!("{}/{NAME}:1", self.address)
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

    /// Takes its tag off the engine, as if the image had never been pulled.
    pub(crate) async fn forget(&self) {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        let _ = self.docker.remove_image(&self.image(), Some(options), None).await;
    }

    /// The bytes of the image's only layer.
    pub(crate) fn layer_bytes(&self) -> usize {
        self.content.blobs.values().map(Bytes::len).max().unwrap_or_default()
    }
}

/// Ends it, and removes its image: declared before a bench, it is dropped after that one's containers are gone.
impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
        let (docker, label) = (self.docker.clone(), self.label.clone());
        // A thread of its own: this runs inside of the test's runtime, also while it unwinds.
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let filters = HashMap::from([("label", vec![label])]);
                let options = ListImagesOptionsBuilder::new().all(true).filters(&filters).build();
                for image in docker.list_images(Some(options)).await.unwrap_or_default() {
                    let options = RemoveImageOptionsBuilder::new().force(true).build();
                    let _ = docker.remove_image(&image.id, Some(options), None).await;
                }
            });
        });
        let _ = cleaner.join();
    }
}

/// One request a connection.
async fn serve(
    mut client: TcpStream,
    content: &Content,
    seen: &Mutex<Vec<String>>,
    mut open: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut head = vec![client.read_u8().await?];
    // An engine tries TLS first, and waits ten seconds for whoever says nothing to that.
    if head[0] == HANDSHAKE {
        return Ok(());
    }
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let (line, headers) = text.split_once("\r\n").unwrap_or_default();
    seen.lock().expect("what was seen").push(line.to_owned());
    let said = headers.lines().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim())
    });
    if content.accepts.is_some() && said != content.accepts {
        return answer(&mut client, line, "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"test\"", b"")
            .await;
    }
    if line.contains("/manifests/") {
        let _ = open.wait_for(|open| *open).await;
    }
    let path = line.split(' ').nth(1).unwrap_or_default();
    if path == "/v2/" {
        return answer(&mut client, line, "200 OK", b"").await;
    }
    let Some((kind, digest, bytes)) = content.find(path) else {
        let absent = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        return answer(&mut client, line, "404 Not Found\r\nContent-Type: application/json", absent).await;
    };
    let status = format!("200 OK\r\nContent-Type: {kind}\r\nDocker-Content-Digest: {digest}");
    answer(&mut client, line, &status, bytes).await
}

/// Answers a request of this line; a `HEAD` with all but the body.
async fn answer(client: &mut TcpStream, line: &str, status: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await?;
    if !line.starts_with("HEAD ") {
        client.write_all(body).await?;
    }
    client.shutdown().await
}
