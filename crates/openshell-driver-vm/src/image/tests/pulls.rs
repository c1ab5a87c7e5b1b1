//! Pulls from the test bed's registry, and from one of the test's own that does what registries should not.

use std::sync::{Arc, Mutex};

use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::values::PullPolicy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::bench::{Bench, ask, is_whole, skip};
use super::build::{Tar, gzip, oci};
use crate::config::Config;

fn bench(config: Config) -> Bench {
    Bench::of(tempfile::tempdir().expect("a directory"), config)
}

fn insecure(registry: &str) -> Config {
    Config { insecure_registries: vec![registry.to_owned()], ..Config::default() }
}

#[tokio::test]
async fn an_image_of_the_registry() {
    let Ok(registry) = std::env::var("OPENSHELL_TEST_REGISTRY") else {
        return skip("registry", "OPENSHELL_TEST_REGISTRY is not set");
    };
    let reference = format!("{registry}/openshell-test/busybox:1");
    let images = bench(insecure(&registry));
    let image = images.prepare(&reference).await.expect("an image");
    assert!(is_whole(&image.disk));
    assert!(ask(&image.disk, "stat /sandbox").contains("User:  1000"));
    let told = images.told();
    for reason in ["ImagePulling", "ImagePullProgress", "ImagePulled"] {
        assert!(told.iter().any(|told| told == reason), "{told:?}");
    }
    images.idle().await;
    // By its digest it is the same base.
    let by_digest = format!("{registry}/openshell-test/busybox@{}", image.digest);
    assert_eq!(images.prepare(&by_digest).await.expect("an image").disk, image.disk);

    let missing =
        images.prepare(&format!("{registry}/openshell-test/busybox:none")).await.expect_err("no tag");
    assert_eq!(missing.kind(), ErrorKind::FailedPrecondition);
    assert!(missing.message().contains("the registry has no such image"), "{missing}");

    // Without the operator's word it is asked for TLS, which it does not speak.
    let secure = bench(Config::default());
    let error = secure.prepare(&reference).await.expect_err("no TLS");
    assert!(
        error.hint().is_some_and(|hint| hint.contains("insecure_registries")),
        "{error} {:?}",
        error.hint()
    );
}

#[tokio::test]
async fn policies() {
    let fake = Fake::start(Manner::Good).await;
    let config = |pull_policy| Config { pull_policy, ..insecure(&fake.registry) };
    let reference = fake.reference();
    let never = bench(config(PullPolicy::Never));
    let error = never.prepare(&reference).await.expect_err("never");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    assert!(error.message().contains("`pull_policy` is `never`") && fake.count("") == 0, "{error}");

    let missing = bench(config(PullPolicy::Missing));
    missing.prepare(&reference).await.expect("an image");
    let asked = fake.count("");
    missing.prepare(&reference).await.expect("an image");
    assert_eq!(fake.count(""), asked, "it is there");

    let always = bench(config(PullPolicy::Always));
    always.prepare(&reference).await.expect("an image");
    let (manifests, blobs) = (fake.count("manifests"), fake.count("blobs"));
    always.prepare(&reference).await.expect("an image");
    assert_eq!(
        (fake.count("manifests"), fake.count("blobs")),
        (manifests + 1, blobs),
        "looked at, and not fetched"
    );

    let newer = bench(config(PullPolicy::Newer));
    newer.prepare(&reference).await.expect("an image");
    let manifests = fake.count("manifests");
    let before = newer.prepare(&reference).await.expect("an image");
    assert_eq!(fake.count("manifests"), manifests + 1, "looked at");
    drop(fake);
    assert!(always.prepare(&reference).await.is_err(), "nobody answers");
    assert_eq!(newer.prepare(&reference).await.expect("the one of before").digest, before.digest);
}

#[tokio::test]
async fn a_registry_that_wants_to_know_who_asks() {
    let fake = Fake::start(Manner::Token).await;
    let root = tempfile::tempdir().expect("a directory");
    let auth = root.path().join("auth.json");
    // `me:pw`.
    std::fs::write(&auth, format!(r#"{{"auths": {{"{}": {{"auth": "bWU6cHc="}}}}}}"#, fake.registry))
        .expect("a file");
    let known = bench(Config { auth_file_path: Some(auth.clone()), ..insecure(&fake.registry) });
    known.prepare(&fake.reference()).await.expect("an image");
    assert_eq!(fake.count("/token?service=fake&scope=repository%3Aa%2Fb%3Apull"), 1);

    std::fs::write(&auth, "{}").expect("a file");
    let unknown = bench(Config { auth_file_path: Some(auth), ..insecure(&fake.registry) });
    let error = unknown.prepare(&fake.reference()).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.message().contains("has no entry for"), "{error}");
}

#[tokio::test]
async fn registries_that_lie() {
    for (manner, part) in [
        (Manner::BentBlob, "cannot make a disk of image"),
        (Manner::ShortBlob, "cannot pull"),
        (Manner::LongBlob, "cannot pull"),
        (Manner::Circle, "from address to address"),
        (Manner::Teapot, "refuses"),
    ] {
        let fake = Fake::start(manner).await;
        let images = bench(insecure(&fake.registry));
        let error = images.prepare(&fake.reference()).await.expect_err("a lie");
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{manner:?}: {error}");
        assert!(error.message().contains(part), "{manner:?}: {error}");
        assert!(images.left("work").is_empty() && images.left("bases").is_empty(), "{manner:?}");
    }
    let gone = bench(insecure("127.0.0.1:1")).prepare("127.0.0.1:1/a/b:1").await.expect_err("nobody");
    assert!(gone.message().contains("does not answer"), "{gone}");
}

#[tokio::test]
async fn references_that_are_none() {
    let images = bench(Config::default());
    for bad in ["", "../etc", "a b", "/etc/passwd", "a?b", &format!("sha256:{}", "a".repeat(64))] {
        assert_eq!(images.images.check(bad).expect_err(bad).kind(), ErrorKind::InvalidArgument, "{bad}");
        assert_eq!(images.prepare(bad).await.expect_err(bad).kind(), ErrorKind::InvalidArgument, "{bad}");
    }
    assert!(
        images.images.check("r:5/a@sha256:ff").is_ok() && images.images.check(super::bench::NAME).is_ok()
    );
}

/// What a registry of a test does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Good,
    /// Gives nothing without a token, and a token only for `me:pw`.
    Token,
    BentBlob,
    ShortBlob,
    LongBlob,
    /// Sends every request to itself.
    Circle,
    Teapot,
}

/// A registry with one image, `a/b:1`.
struct Fake {
    registry: String,
    asked: Arc<Mutex<Vec<String>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    async fn start(manner: Manner) -> Self {
        let layer = Tar::default().directory("etc").file("etc/a", vec![b'a'; 50_000]).end();
        let (files, digest) = oci(&[layer], gzip);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let registry = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let here = registry.clone();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                let mut buffer = [0; 4096];
                while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => break,
                        Ok(count) => head.extend_from_slice(&buffer[..count]),
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                seen.lock().expect("paths").push(path.clone());
                let reply = answer(manner, &here, &head, &path, &files, &digest);
                let _ = stream.write_all(&reply).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { registry, asked, server }
    }

    fn reference(&self) -> String {
        format!("{}/a/b:1", self.registry)
    }

    /// How many requests had this in their path.
    fn count(&self, part: &str) -> usize {
        self.asked.lock().expect("paths").iter().filter(|path| path.contains(part)).count()
    }
}

fn reply(status: &str, headers: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn answer(
    manner: Manner,
    here: &str,
    head: &str,
    path: &str,
    files: &[(String, Vec<u8>)],
    digest: &str,
) -> Vec<u8> {
    let lower = head.to_ascii_lowercase();
    if manner == Manner::Teapot {
        return reply("418 I am a teapot", "", 0, b"");
    }
    if manner == Manner::Circle {
        return reply("307 Temporary Redirect", &format!("location: {path}\r\n"), 0, b"");
    }
    if manner == Manner::Token {
        if path.starts_with("/token") {
            return match lower.contains("authorization: basic bwu6chc=") {
                true => reply("200 OK", "", 13, br#"{"token":"t"}"#),
                false => reply("401 Unauthorized", "", 0, b""),
            };
        }
        if !lower.contains("authorization: bearer t\r\n") {
            let challenge =
                format!("www-authenticate: Bearer realm=\"http://{here}/token\",service=\"fake\"\r\n");
            return reply("401 Unauthorized", &challenge, 0, b"");
        }
    }
    let wanted = path.rsplit('/').next().unwrap_or_default();
    let wanted = if wanted == "1" { digest } else { wanted };
    let name = format!("blobs/{}", wanted.replace(':', "/"));
    let Some(index) = files.iter().position(|(file, _)| *file == name) else {
        return reply("404 Not Found", "", 0, b"");
    };
    let body = &files[index].1;
    // The last is the layer.
    match manner {
        Manner::BentBlob if index == 4 => {
            let other = gzip(&Tar::default().file("evil", vec![b'e'; 50_000]).end());
            let mut bent = [other, vec![0; body.len()]].concat();
            bent.truncate(body.len());
            reply("200 OK", "", bent.len(), &bent)
        }
        Manner::ShortBlob if index == 4 => reply("200 OK", "", body.len(), &body[..body.len() / 2]),
        Manner::LongBlob if index == 4 => reply("200 OK", "", body.len() * 2, &body.repeat(2)),
        _ => reply("200 OK", "", body.len(), body),
    }
}
