//! Certificates that are made here: what is written, what is kept, and that others accept them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use openshell_front::certs::{self, CertsError, Request};
use tempfile::TempDir;

use crate::support::certificates;

fn request(dir: &Path) -> Request {
    Request { dir: dir.to_owned(), hosts: Vec::new(), clients: Vec::new(), days: 7, force: false }
}

#[test]
fn keys_are_their_owners_alone() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(&home.path().join("certs"), &["ci"]);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let dir = &made.clients[0].1;
    for key in [made.key.as_path(), &made.ca.with_extension("key"), &dir.join("tls.key")] {
        assert_eq!(mode(key), 0o600, "{}", key.display());
    }
    for private in [home.path().join("certs"), dir.clone()] {
        assert_eq!(mode(&private), 0o700, "{}", private.display());
    }
    assert_eq!(fs::read(dir.join("ca.crt")).expect("a copy"), fs::read(&made.ca).expect("the CA"));
}

#[test]
fn a_client_added_later_leaves_the_others_as_they_are() {
    let home = TempDir::new().expect("a directory");
    let first = certificates(home.path(), &["one"]);
    let before: Vec<_> = first.written.iter().map(|path| fs::read(path).expect("a file")).collect();
    let second = certificates(home.path(), &["one", "two"]);
    let after: Vec<_> = first.written.iter().map(|path| fs::read(path).expect("a file")).collect();
    assert_eq!(before, after);
    assert!(second.written.iter().all(|path| path.starts_with(&second.clients[1].1)), "{:?}", second.written);

    let forced = certs::generate(&Request { force: true, ..request(home.path()) }).expect("certificates");
    assert!(forced.kept.contains(&forced.ca) && forced.written.contains(&forced.cert), "{forced:?}");
}

#[test]
fn openssl_accepts_them() {
    let home = TempDir::new().expect("a directory");
    certificates(home.path(), &["one"]);
    let made = certificates(home.path(), &["one", "two"]);
    for (cert, purpose) in
        [(made.cert.clone(), "sslserver"), (made.clients[1].1.join("tls.crt"), "sslclient")]
    {
        let verify = Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"])
            .args([&made.ca, &cert])
            .output();
        let Ok(output) = verify else {
            println!("skipped: no openssl here");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let other = Command::new("openssl")
        .args(["verify", "-purpose", "sslclient", "-CAfile"])
        .args([&made.ca, &made.cert])
        .output()
        .expect("it was there before");
    assert!(!other.status.success(), "the server's certificate is no client's");
}

#[test]
fn names_that_are_none_are_refused_and_nothing_is_written() {
    let home = TempDir::new().expect("a directory");
    let dir = home.path().join("certs");
    for host in ["", "a b", "https://a", "a:443", "-a", "a..b", "1.2.3", "a/b", "*", "a.*.b"] {
        let wrong = Request { hosts: vec![host.to_owned()], ..request(&dir) };
        let error = certs::generate(&wrong).expect_err(host);
        assert!(
            matches!(&error, CertsError::Name { of: "host", .. }) && !error.hints().is_empty(),
            "{error}"
        );
    }
    for client in ["", "..", "../x", "A", "a/b", "*.a"] {
        let wrong = Request { clients: vec![client.to_owned()], ..request(&dir) };
        let error = certs::generate(&wrong).expect_err(client);
        assert!(matches!(&error, CertsError::Name { of: "client", .. }), "{error}");
    }
    for days in [0, 3650] {
        let wrong = Request { days, ..request(&dir) };
        assert!(matches!(certs::generate(&wrong), Err(CertsError::Days(_))));
    }
    assert!(!dir.exists());
}

#[test]
fn half_a_pair_is_an_error_and_not_overwritten() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(home.path(), &[]);
    fs::remove_file(made.ca.with_extension("key")).expect("remove");
    let error = certs::generate(&request(home.path())).expect_err("the CA has no key");
    assert!(matches!(error, CertsError::Half { .. }), "{error}");
}
