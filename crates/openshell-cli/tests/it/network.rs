//! Gateways over TCP and TLS: the token, the certificates of both sides, and what is said when they do not fit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use crate::fake::Gateway;
use crate::{Run, bare, required};

/// A fake gateway at a port of the loopback address.
pub(crate) fn on_tcp(tls: Option<ServerConfig>) -> (Gateway, u16) {
    let gateway = Gateway::new(tempfile::tempdir().expect("a directory"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("its mode");
    let port = listener.local_addr().expect("its address").port();
    let service = gateway.service();
    let state = gateway.shared();
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    gateway.spawn(async move {
        let listener = TcpListener::from_std(listener).expect("a listener");
        while let Ok((stream, _)) = listener.accept().await {
            let (service, state, acceptor) = (service.clone(), state.clone(), acceptor.clone());
            tokio::spawn(async move {
                let seen = service.map_request(move |request: http::Request<_>| {
                    let shown = request.headers().get("authorization");
                    let shown = shown.map(|value| value.to_str().expect("text").to_owned());
                    state.lock().expect("no panic").shown.push(shown);
                    request
                });
                match acceptor {
                    None => serve(stream, seen).await,
                    // A client that is refused here is the test's subject.
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, seen).await;
                        }
                    }
                }
            });
        }
    });
    (gateway, port)
}

async fn serve<S, E>(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: S)
where
    S: tower::Service<
            http::Request<hyper::body::Incoming>,
            Response = http::Response<tonic::body::Body>,
            Error = E,
        > + Clone
        + Send
        + 'static,
    S::Future: Send,
    E: std::error::Error + Send + Sync + 'static,
{
    let service = TowerToHyperService::new(service);
    // How it ends is the client's to say.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An authority of the test's own, in files.
struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        // Another name than those it signs: one that has signed itself looks like that.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        std::fs::write(dir.path().join("ca.crt"), issuer.pem()).expect("a file");
        Self { dir, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A certificate for a host or a client, with its key beside it.
    fn sign(&self, file: &str, host: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        std::fs::write(self.path(&format!("{file}.crt")), certificate.pem()).expect("a file");
        std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).expect("a file");
    }

    /// A server with one of these certificates, which may want one of its clients.
    fn server(&self, file: &str, wants_clients: bool) -> ServerConfig {
        let certificate = CertificateDer::from_pem_file(self.path(&format!("{file}.crt"))).expect("PEM");
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{file}.key"))).expect("PEM");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = if wants_clients {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(self.path("ca.crt")).expect("PEM")).expect("a CA");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(vec![certificate], key).expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// The program in a home, with the words of a line and then paths.
fn run(home: &Path, line: &str, paths: &[(&str, &Path)]) -> Run {
    let mut command = bare(home);
    command.args(line.split(' '));
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    command.output().expect("the program runs").into()
}

#[test]
fn the_token_of_a_context_goes_with_each_call() {
    let (gateway, port) = on_tcp(None);
    let home = tempfile::tempdir().expect("a directory");
    let token = home.path().join("given");
    std::fs::write(&token, "s3cret-token\n").expect("a file");
    let add = format!("gateway add lab --endpoint http://127.0.0.1:{port} --select");
    assert_eq!(run(home.path(), &add, &[("--token-file", &token)]).good(), "lab\n");
    assert_eq!(
        run(home.path(), "status", &[]).good(),
        format!(
            "gateway:   healthy, version 0.1.0\nname:      lab\nendpoint:  http://127.0.0.1:{port}\n\
             chosen:    it is the selected gateway\ndriver:    docker 0.1.0 (engine API 1.41)\n\
             state:     not told: this gateway is older than this client\n"
        )
    );
    let shown = std::mem::take(&mut gateway.state().shown);
    assert_eq!(shown, vec![Some("Bearer s3cret-token".to_owned()); 3]);

    gateway.state().refusal = Some(Status::new(Code::Unauthenticated, "the token is not known"));
    let err = run(home.path(), "sandbox list", &[]).bad(10);
    let kept = home.path().join(".config/openshell/gateways/lab/token");
    assert!(err.contains("caused by: the token is not known\n"), "{err}");
    assert!(err.contains(&format!("hint: it was shown the token in {}", kept.display())), "{err}");
    assert!(!err.contains("s3cret"), "{err}");

    // Without a context there is no token to show.
    gateway.state().shown.clear();
    let err = run(home.path(), &format!("--gateway http://127.0.0.1:{port} sandbox list"), &[]).bad(10);
    assert!(err.contains("hint: it was shown no token: openshell gateway add"), "{err}");
    assert_eq!(gateway.state().shown, [None]);
}

#[test]
fn a_token_does_not_go_over_a_network_in_clear() {
    let home = tempfile::tempdir().expect("a directory");
    let token = home.path().join("given");
    std::fs::write(&token, "s3cret-token").expect("a file");
    let err = run(
        home.path(),
        "gateway add far --endpoint http://gw.example.org:17670",
        &[("--token-file", &token)],
    )
    .bad(12);
    assert!(err.starts_with("error: the token for `http://gw.example.org:17670` would go over the network in clear\nhint: use TLS"), "{err}");
    assert!(!home.path().join(".config/openshell/gateways/far").exists());

    // Nor when somebody has changed what is kept.
    run(home.path(), "gateway add near --endpoint http://127.0.0.1:1", &[("--token-file", &token)]).good();
    let metadata = home.path().join(".config/openshell/gateways/near/metadata.json");
    let text = std::fs::read_to_string(&metadata).expect("a file").replace("127.0.0.1:1", "192.0.2.1:1");
    std::fs::write(&metadata, text).expect("a file");
    run(home.path(), "--gateway near status", &[]).bad(12);
}

#[test]
fn nobody_at_the_port() {
    let home = tempfile::tempdir().expect("a directory");
    // No port that the kernel gives to whoever wants any.
    let port = 1;
    let err = run(home.path(), &format!("--gateway http://127.0.0.1:{port} status"), &[]).bad(5);
    assert!(
        err.starts_with(&format!(
            "error: cannot reach the gateway\n  caused by: nobody listens at http://127.0.0.1:{port}\nhint: "
        )),
        "{err}"
    );
    let err = run(home.path(), "--gateway https://nowhere.invalid status", &[]).bad(5);
    assert!(err.contains("caused by: `nowhere.invalid` has no address\n"), "{err}");
}

#[test]
fn tls_is_verified_against_the_contexts_authority() {
    let authority = Authority::new();
    authority.sign("tls", "127.0.0.1", |_| {});
    let (gateway, port) = on_tcp(Some(authority.server("tls", false)));
    let home = tempfile::tempdir().expect("a directory");
    let endpoint = format!("https://127.0.0.1:{port}");
    let token = home.path().join("given");
    std::fs::write(&token, "abc").expect("a file");
    let ca = authority.path("ca.crt");
    let add = format!("gateway add lab --endpoint {endpoint}");
    run(home.path(), &add, &[("--ca", &ca), ("--token-file", &token)]).good();
    let out = run(home.path(), "--gateway lab status --json", &[]).json();
    assert_eq!(
        (out["endpoint"].as_str(), out["chosen_by"].as_str()),
        (Some(endpoint.as_str()), Some("--gateway"))
    );
    assert_eq!(gateway.state().shown[0], Some("Bearer abc".to_owned()));

    // Another authority.
    let other = Authority::new().dir;
    run(
        home.path(),
        &format!("gateway add other --endpoint {endpoint}"),
        &[("--ca", &other.path().join("ca.crt"))],
    )
    .good();
    let err = run(home.path(), "--gateway other status", &[]).bad(12);
    assert!(
        err.contains(&format!(
            "caused by: the certificate of {endpoint} is signed by nobody who is trusted here\n"
        )),
        "{err}"
    );
    assert!(err.contains("hint: name its CA: openshell gateway add NAME"), "{err}");
    // Plain HTTP to a port that speaks TLS.
    let err = run(home.path(), &format!("--gateway http://127.0.0.1:{port} status"), &[]).bad(5);
    assert!(err.contains("https://"), "{err}");
}

#[test]
fn a_certificate_that_does_not_fit_says_how() {
    let authority = Authority::new();
    authority.sign("expired", "127.0.0.1", |params| params.not_after = date_time_ymd(2020, 1, 1));
    authority.sign("future", "127.0.0.1", |params| params.not_before = date_time_ymd(4000, 1, 1));
    authority.sign("named", "gw.example.org", |_| {});
    let home = tempfile::tempdir().expect("a directory");
    for (file, says, hint) in [
        ("expired", "has expired", "or this machine's clock is wrong: it says 20"),
        ("future", "is not valid yet", "most likely this machine's clock is wrong"),
        ("named", "is for another name", "--host NAME"),
    ] {
        let (_gateway, port) = on_tcp(Some(authority.server(file, false)));
        let add = format!("gateway add {file} --endpoint https://127.0.0.1:{port}");
        run(home.path(), &add, &[("--ca", &authority.path("ca.crt"))]).good();
        let err = run(home.path(), &format!("--gateway {file} status"), &[]).bad(12);
        assert!(err.contains(says) && err.contains(hint), "{err}");
    }
}

#[test]
fn a_gateway_that_wants_a_certificate_gets_one() {
    let authority = Authority::new();
    authority.sign("tls", "127.0.0.1", |_| {});
    authority.sign("client", "client.example.org", |_| {});
    let (_gateway, port) = on_tcp(Some(authority.server("tls", true)));
    let home = tempfile::tempdir().expect("a directory");
    let (ca, certificate, key) =
        (authority.path("ca.crt"), authority.path("client.crt"), authority.path("client.key"));
    let add = |name: &str| format!("gateway add {name} --endpoint https://127.0.0.1:{port}");
    let all: [(&str, &Path); 3] = [("--ca", &ca), ("--cert", &certificate), ("--key", &key)];
    run(home.path(), &add("with"), &all).good();
    assert!(run(home.path(), "--gateway with status", &[]).good().starts_with("gateway:   healthy"));

    run(home.path(), &add("without"), &all[..1]).good();
    let err = run(home.path(), "--gateway without status", &[]).bad(10);
    assert!(err.contains("--cert FILE --key FILE"), "{err}");

    // A key of another certificate is seen before it is kept.
    let other = authority.path("tls.key");
    let err = run(home.path(), &add("mixed"), &[all[0], all[1], ("--key", &other)]).bad(2);
    assert!(err.contains("there is no usable certificate or its key in"), "{err}");
}

#[test]
fn something_else_at_the_port() {
    let home = tempfile::tempdir().expect("a directory");
    let (_plain, port) = on_tcp(None);
    let err = run(home.path(), &format!("gateway add plain --endpoint https://127.0.0.1:{port}"), &[]);
    assert_eq!(err.good(), "plain\n");
    let authority = Authority::new();
    run(
        home.path(),
        &format!("gateway add tls --endpoint https://127.0.0.1:{port}"),
        &[("--ca", &authority.path("ca.crt"))],
    )
    .good();
    let err = run(home.path(), "--gateway tls --timeout 5s status", &[]).bad(5);
    assert!(err.contains("does not speak TLS\nhint: "), "{err}");
}

/// What `gateway add` keeps is what the Python client reads.
#[test]
fn the_python_client_reads_a_context() {
    let Some(python) = std::env::var_os("OPENSHELL_TEST_PYTHON") else {
        required("python", "no Python client: OPENSHELL_TEST_PYTHON is not set (cargo xtask test sets it)");
        return;
    };
    let authority = Authority::new();
    authority.sign("tls", "localhost", |_| {});
    authority.sign("client", "client.example.org", |_| {});
    let (_gateway, port) = on_tcp(Some(authority.server("tls", true)));
    let home = tempfile::tempdir().expect("a directory");
    let (ca, certificate, key) =
        (authority.path("ca.crt"), authority.path("client.crt"), authority.path("client.key"));
    let add = format!("gateway add lab --endpoint https://localhost:{port} --select");
    run(home.path(), &add, &[("--ca", &ca), ("--cert", &certificate), ("--key", &key)]).good();
    let script =
        "from openshell import SandboxClient\nprint(SandboxClient.from_active_cluster().health().version)";
    let mut command = std::process::Command::new(python);
    command.env_clear().env("HOME", home.path()).args(["-c", script]);
    let run = Run::from(command.output().expect("python runs"));
    assert_eq!((run.code, run.out.as_str()), (Some(0), "0.1.0\n"), "{}", run.err);
}
