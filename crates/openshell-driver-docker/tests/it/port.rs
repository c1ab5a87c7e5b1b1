//! An engine behind a port: one of the test's own before the real engine's socket, plain and with TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use openshell_driver_api::{DriverContext, DriverError, ErrorKind, Table};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::bench::{Bench, engine_socket, read_until, request, sandbox_id};
use crate::registry::Registry;
use openshell_driver_api::WatchEvent;

/// A certificate authority, the engine's certificate and a client's, as files.
struct Certificates {
    root: tempfile::TempDir,
    server: ServerConfig,
}

impl Certificates {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&ca_key).expect("a certificate");
        let issuer = Issuer::new(params, ca_key);
        let issue = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
            (params.signed_by(&key, &issuer).expect("a certificate"), key)
        };
        let (certificate, key) = issue("localhost");
        let (client, client_key) = issue("gateway");
        let write = |name: &str, text: String| std::fs::write(root.path().join(name), text).expect("a file");
        write("ca.pem", ca.pem());
        write("cert.pem", client.pem());
        write("key.pem", client_key.serialize_pem());
        let other = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        write("other.pem", params.self_signed(&other).expect("a certificate").pem());

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier.build().expect("a verifier"));
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = server.with_single_cert(vec![certificate.der().clone()], key).expect("a server");
        Self { root, server }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

/// A port before an engine's socket.
struct Port {
    port: u16,
    server: tokio::task::JoinHandle<()>,
}

impl Port {
    async fn new(engine: &Path, tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let engine = engine.to_owned();
        let server = tokio::spawn(async move {
            // Dropped with this task, and all connections with it.
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let (tls, engine) = (tls.clone(), engine.clone());
                connections.spawn(async move {
                    let mut engine = UnixStream::connect(engine).await?;
                    match tls {
                        None => tokio::io::copy_bidirectional(&mut client, &mut engine).await,
                        Some(tls) => {
                            tokio::io::copy_bidirectional(&mut tls.accept(client).await?, &mut engine).await
                        }
                    }
                });
            }
        });
        Self { port, server }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn lives(bench: &Bench) {
    let id = sandbox_id("remote");
    let mut wanted = request("remote", &["sh", "-c", "cat /run/openshell/token; exec sleep 300"]);
    wanted.spec.token = openshell_driver_api::Secret::new("s3cret");
    bench.driver.create(&wanted).await.expect("create");
    bench.until("remote", "Running").await;
    bench.driver.stop(&id).await.expect("stop");
    bench.driver.start(&id).await.expect("start");
    assert!(
        bench.output("remote").await.contains("s3cret"),
        "the token is there without a directory of the host"
    );
    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_engine_at_a_plain_port_of_this_host() {
    let Some(socket) = engine_socket().await else { return };
    let port = Port::new(&socket, None).await;
    let bench =
        Bench::at(&socket, &format!("host = 'tcp://127.0.0.1:{}'\nstop_timeout = 0", port.port)).await;
    lives(&bench).await;
}

#[tokio::test]
async fn an_engine_behind_tls() {
    let Some(socket) = engine_socket().await else { return };
    let certificates = Certificates::new();
    let port = Port::new(&socket, Some(certificates.server.clone())).await;
    let config = |ca: &str, client: bool, host: &str| {
        let mut text = format!("host = 'tcp://{host}:{}'\nstop_timeout = 0\n", port.port);
        text += &format!("tls_ca_path = '{}'\n", certificates.path(ca).display());
        if client {
            text += &format!("tls_cert_path = '{}'\n", certificates.path("cert.pem").display());
            text += &format!("tls_key_path = '{}'\n", certificates.path("key.pem").display());
        }
        text
    };
    lives(&Bench::at(&socket, &config("ca.pem", true, "localhost")).await).await;

    for (text, kind, words) in [
        (config("other.pem", true, "localhost"), ErrorKind::Unavailable, "certificate"),
        (config("ca.pem", false, "localhost"), ErrorKind::Unavailable, "CertificateRequired"),
        (config("ca.pem", true, "127.0.0.1"), ErrorKind::Unavailable, "certificate"),
        (config("none.pem", true, "localhost"), ErrorKind::FailedPrecondition, "none.pem"),
    ] {
        let error = opened(&text).await;
        assert_eq!(error.kind(), kind, "{error} of {text}");
        assert!(error.message().contains(words), "`{words}` in {error}");
    }
}

async fn opened(text: &str) -> DriverError {
    let table: Table = text.parse().expect("TOML");
    let state = tempfile::tempdir().expect("a directory");
    let context = DriverContext {
        name: "docker".to_owned(),
        gateway_id: "it-port".to_owned(),
        state_dir: state.path().join("drivers/docker"),
        telemetry: false,
        endpoint: String::new(),
        supervisor: None,
    };
    let opened = openshell_driver_docker::REGISTRATION.factory.open(context, &table).await;
    opened.err().expect("no engine")
}

#[tokio::test]
async fn an_engine_that_goes_away_while_it_pulls() {
    let Some(socket) = engine_socket().await else { return };
    let Some(registry) = Registry::new(None).await else { return };
    let port = Port::new(&socket, None).await;
    let config = format!("host = 'tcp://127.0.0.1:{}'\npull_policy = 'always'", port.port);
    let bench = Bench::at(&socket, &config).await;
    let mut events = bench.driver.watch().await.expect("a watch");
    registry.close();
    let mut wanted = request("cut", &["sleep", "300"]);
    wanted.spec.template.image = registry.image();
    let driver = Arc::clone(&bench.driver);
    let create = tokio::spawn(async move { driver.create(&wanted).await });
    read_until(
        &mut events,
        |event| matches!(event, WatchEvent::Platform { event, .. } if event.reason == "ImagePulling"),
    )
    .await;
    drop(port);
    let error = create.await.expect("a task").expect_err("the engine is away");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.hint().is_some(), "{error:?}");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}
