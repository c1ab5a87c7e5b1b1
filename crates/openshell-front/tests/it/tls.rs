//! Who gets a TLS connection, and certificates that change underneath.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use openshell_front::{Limits, Tls};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

use crate::support::{PATIENCE, Server, ask, ask_http1, certificates, client, client_of, files, load};

#[tokio::test]
async fn a_client_certificate_is_known_by_its_name() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(home.path(), &["ci.example.org"]);
    let server = Server::start(Some(load(files(&made, Some(&made.ca)))), Limits::default()).await;
    let shows = made.clients[0].1.as_path();
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]] {
        let stream = server.tls(client_of(versions, &made.ca, Some(shows))).await.expect("TLS");
        assert_eq!(ask(stream).await.expect("an answer"), "tls ci.example.org", "{versions:?}");
    }
    let mut http1 = client(&made.ca, Some(shows));
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = server.tls(http1).await.expect("TLS");
    assert_eq!(ask_http1(stream).await.expect("an answer"), "tls ci.example.org");
}

#[tokio::test]
async fn a_stranger_gets_no_connection() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(&home.path().join("ours"), &["ci"]);
    let foreign = certificates(&home.path().join("theirs"), &["ci"]);
    // An authority whose certificates the server takes too, for one that is over.
    let authority = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let both = home.path().join("both.crt");
    let second = params.self_signed(&authority).expect("a certificate").pem();
    fs::write(&both, fs::read_to_string(&made.ca).expect("the CA") + &second).expect("write");
    let issuer = rcgen::Issuer::new(params, authority);
    let past = home.path().join("past");
    fs::create_dir(&past).expect("a directory");
    let server = Server::start(Some(load(files(&made, Some(&both)))), Limits::default()).await;
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["ci".to_owned()]).expect("a name");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let sign = |params: &CertificateParams| params.signed_by(&key, &issuer).expect("a certificate").pem();
    fs::write(past.join("tls.key"), key.serialize_pem()).expect("write");
    fs::write(past.join("tls.crt"), sign(&params)).expect("write");
    let stream = server.tls(client(&made.ca, Some(&past))).await.expect("TLS");
    assert_eq!(ask(stream).await.expect("while it is valid"), "tls ci");
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    fs::write(past.join("tls.crt"), sign(&params)).expect("write");

    let theirs = foreign.clients[0].1.as_path();
    for (what, shows) in
        [("nothing", None), ("another CA's", Some(theirs)), ("expired", Some(past.as_path()))]
    {
        // With TLS 1.3 the client is done before the server has judged.
        let asked = match server.tls(client(&made.ca, shows)).await {
            Ok(stream) => ask(stream).await,
            Err(error) => Err(error.into()),
        };
        assert!(asked.is_err(), "{what}: {asked:?}");
    }
    let error = server.tls(client(&foreign.ca, None)).await.expect_err("the client does not know our CA");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(ask(server.tcp().await).await.is_err(), "plain HTTP has no answer");
}

#[tokio::test]
async fn a_certificate_may_be_optional() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(home.path(), &["ci"]);
    let mut files = files(&made, Some(&made.ca));
    files.client_certificate_required = false;
    let server = Server::start(Some(load(files)), Limits::default()).await;
    for (shows, said) in [(None, "tls"), (Some(made.clients[0].1.as_path()), "tls ci")] {
        let stream = server.tls(client(&made.ca, shows)).await.expect("TLS");
        assert_eq!(ask(stream).await.expect("an answer"), said);
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_ended() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(home.path(), &[]);
    let limits = Limits { handshake: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start(Some(load(files(&made, None))), limits).await;
    let mut silent = server.tcp().await;
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut said)).await.expect("in time");
    assert!(read.is_err() || said.is_empty(), "{said:?}");
}

#[tokio::test]
async fn certificates_change_without_a_restart() {
    let home = TempDir::new().expect("a directory");
    let old = certificates(&home.path().join("old"), &[]);
    let new = certificates(&home.path().join("new"), &[]);
    let server = Server::start(Some(load(files(&old, None))), Limits::default()).await;
    let answered = async |ca| {
        let stream = server.tls(client(ca, None)).await.map_err(|error| error.to_string())?;
        ask(stream).await.map_err(|error| error.to_string())
    };
    answered(&old.ca).await.expect("the first certificate");

    fs::write(&old.cert, "nothing of use").expect("write");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    answered(&old.ca).await.expect("what cannot be used changes nothing");

    fs::copy(&new.key, &old.key).expect("copy");
    fs::copy(&new.cert, &old.cert).expect("copy");
    tokio::time::timeout(PATIENCE, async {
        while answered(&new.ca).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("the new certificate is shown in time");
    answered(&old.ca).await.expect_err("the old one is not shown any more");
}

#[test]
fn files_that_do_not_do_are_named() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(&home.path().join("a"), &[]);
    let other = certificates(&home.path().join("b"), &[]);
    let empty = home.path().join("empty");
    fs::write(&empty, "").expect("write");
    fs::set_permissions(&empty, Permissions::from_mode(0o600)).expect("a mode");
    let open = home.path().join("open.key");
    fs::copy(&made.key, &open).expect("copy");
    fs::set_permissions(&open, Permissions::from_mode(0o644)).expect("a mode");
    let missing = home.path().join("missing");
    for (cert, key, ca, said, hint) in [
        (&missing, &made.key, None, "cannot read the certificate `", ""),
        (&made.cert, &missing, None, "cannot read the private key `", ""),
        (&empty, &made.key, None, "there is no certificate in `", "generate-certs"),
        (&made.cert, &empty, None, "there is no private key in `", "generate-certs"),
        (&made.cert, &open, None, "may be read by others (mode 0644)", "chmod 600 "),
        (&made.cert, &other.key, None, "cannot be used together", "generate-certs"),
        (&made.cert, &made.key, Some(&missing), "cannot read the client CA `", ""),
        (&made.cert, &made.key, Some(&empty), "there is no certificate in `", "generate-certs"),
    ] {
        let mut files = files(&made, ca.map(|path| path.as_path()));
        (files.cert_path, files.key_path) = (cert.clone(), key.clone());
        let error = Tls::load(files).expect_err(said);
        assert!(error.to_string().contains(said), "`{said}` is not in: {error}");
        assert!(error.hints().concat().contains(hint), "{:?}", error.hints());
    }
}

#[tokio::test]
async fn every_connection_is_judged_anew() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(home.path(), &["ci"]);
    let server = Server::start(Some(load(files(&made, Some(&made.ca)))), Limits::default()).await;
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]] {
        let config = client_of(versions, &made.ca, Some(&made.clients[0].1));
        for _ in 0..2 {
            let mut stream = server.tls(config.clone()).await.expect("TLS");
            // With TLS 1.3 tickets come after the handshake, so something has to be read.
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").await.expect("write");
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.expect("an answer");
            assert!(said.ends_with(b"tls ci"), "{}", String::from_utf8_lossy(&said));
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Full), "{versions:?}");
        }
    }
}

/// A file may be swapped for one of the same length and age, as `cp -p` and links of a directory do it.
#[tokio::test]
async fn a_change_shows_whatever_its_time_says() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(home.path(), &[]);
    let tls = load(files(&made, None));
    let server = Server::start(Some(tls), Limits::default()).await;
    let new = certificates(&home.path().join("new"), &[]);
    for (from, to) in [(&new.key, &made.key), (&new.cert, &made.cert)] {
        let modified = fs::metadata(to).expect("metadata").modified().expect("a time");
        let file = fs::File::options().write(true).open(from).expect("a file");
        file.set_modified(modified).expect("a time");
        fs::rename(from, to).expect("rename");
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let stream = server.tls(client(&new.ca, None)).await.expect("the new certificate");
    assert_eq!(ask(stream).await.expect("an answer"), "tls");
}
