//! A gateway on a network: believed by its CA and for the host that was dialled, and nobody else is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::gateway::{Gateway, TOKEN, Ways};
use crate::program::{Program, is_not_root, until};

/// An authority as a gateway has one, in a file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        // Two authorities of one name would be one to who looks for the issuer.
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{:?}", key.public_key_raw()));
        let directory = tempfile::tempdir().expect("a directory");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(directory.path().join("ca.crt"), certificate.pem()).expect("a file");
        Self { issuer: Issuer::new(params, key), directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("ca.crt")
    }

    fn server(&self, host: &str, protocol: &[u8]) -> ServerConfig {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("versions")
            .with_no_client_auth();
        let mut config =
            builder.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate");
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }
}

/// TLS before a gateway's socket.
struct Door {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Door {
    async fn open(at: SocketAddr, config: ServerConfig, gateway: &Gateway) -> Self {
        let listener = TcpListener::bind(at).await.expect("a port");
        let (address, socket) = (listener.local_addr().expect("an address"), gateway.socket());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and all connections with it.
            let mut connections = JoinSet::<()>::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                let _: AbortHandle = connections.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Ok(mut gateway) = UnixStream::connect(&socket).await else { return };
                    let _ = copy_bidirectional(&mut stream, &mut gateway).await;
                });
            }
        });
        Self { address, accepting }
    }

    async fn for_host(authority: &Authority, host: &str, gateway: &Gateway) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::open(any, authority.server(host, b"h2"), gateway).await
    }

    fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    async fn close(self) {
        self.accepting.abort();
        let _aborted = self.accepting.await;
    }
}

/// Waits until it complains so, and makes sure that it has shown nobody its token.
async fn refuses(gateway: &Gateway, endpoint: &str, ca: &Path, why: &str) {
    let program = Program::with_ca(endpoint, ca);
    until(why, || program.printed("stderr").contains(why)).await;
    assert!(gateway.heard().calls.is_empty(), "{:?}", gateway.heard().calls);
    assert!(!program.printed("stderr").contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_the_right_certificate_is_found_again_after_it_was_away() {
    if is_not_root() {
        return;
    }
    let (gateway, authority) = (Gateway::up(Ways::default()), Authority::new());
    let door = Door::for_host(&authority, "127.0.0.1", &gateway).await;
    let (address, endpoint) = (door.address, door.endpoint());
    let program = Program::with_ca(&endpoint, &authority.file());
    let first = gateway.session(0).await;
    let mut exec = gateway.exec(&["/bin/sh", "-c", "env; echo ready; sleep 1000"]).await;
    exec.started().await;
    println!("over TLS: {}", program.memory());

    door.close().await;
    gateway.end_session();
    // Another certificate of the same authority, as after a start.
    let _door = Door::open(address, authority.server("127.0.0.1", b"h2"), &gateway).await;
    gateway.session(first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_shown_the_token() {
    if is_not_root() {
        return;
    }
    let (gateway, ours, theirs) = (Gateway::up(Ways::default()), Authority::new(), Authority::new());
    let foreign = Door::for_host(&theirs, "127.0.0.1", &gateway).await;
    refuses(&gateway, &foreign.endpoint(), &ours.file(), "UnknownIssuer").await;
    let elsewhere = Door::for_host(&ours, "127.0.0.2", &gateway).await;
    refuses(&gateway, &elsewhere.endpoint(), &ours.file(), "certificate not valid for name").await;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let other = Door::open(any, ours.server("127.0.0.1", b"http/1.1"), &gateway).await;
    refuses(&gateway, &other.endpoint(), &ours.file(), "cannot reach the gateway at `https://").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ca_it_does_not_begin() {
    if is_not_root() {
        return;
    }
    let mut program = Program::start_at("https://127.0.0.1:1", &["/bin/sleep", "1000"]);
    assert_eq!(program.ended().await.code(), Some(125));
    assert!(program.printed("stderr").contains("`OPENSHELL_CA_FILE` is not set"));
    let mut program = Program::with_ca("https://127.0.0.1:1", Path::new("/nowhere/ca.crt"));
    assert_eq!(program.ended().await.code(), Some(125));
    assert!(program.printed("stderr").contains("cannot read the gateway's CA in `/nowhere/ca.crt`"));
}
