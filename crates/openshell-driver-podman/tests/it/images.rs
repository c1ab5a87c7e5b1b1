//! Images: policies, credentials, pulls that are shared, followed and given up.

use std::sync::Arc;

use openshell_driver_api::{DriverError, ErrorKind, PlatformEvent, SandboxRequest, WatchEvent};

use crate::bench::{Bench, image, read_until, request, sandbox_id};
use crate::registry::Registry;

/// `me:p?~?~~>`: in the base64 of what a service is sent, this password needs both characters that the alphabet for URLs has
/// otherwise.
const ME: &str = "bWU6cD9+P35+Pg==";
const BASIC: &str = "Basic bWU6cD9+P35+Pg==";

fn of(registry: &Registry, id: &str) -> SandboxRequest {
    let mut request = request(id, &["sleep", "300"]);
    request.spec.template.image = registry.image();
    request
}

fn platform(event: &WatchEvent) -> Option<(&str, &PlatformEvent)> {
    match event {
        WatchEvent::Platform { id, event } => Some((id.as_str(), event)),
        _ => None,
    }
}

/// The reasons of a sandbox's platform events.
fn reasons<'a>(seen: &'a [WatchEvent], id: &str) -> Vec<&'a str> {
    let mine = seen.iter().filter_map(platform).filter(|(about, _)| *about == id);
    mine.map(|(_, event)| event.reason.as_str()).collect()
}

fn says<'a>(id: &'a str, reason: &'a str) -> impl FnMut(&WatchEvent) -> bool + 'a {
    move |event| platform(event).is_some_and(|(about, event)| about == id && event.reason == reason)
}

fn refused(error: &DriverError, kind: ErrorKind, words: &str) {
    assert_eq!((error.kind(), error.reason()), (kind, Some("ImagePullFailed")), "{error}");
    assert!(error.message().contains(words), "`{words}` in {error}");
    assert!(!format!("{error:?}").contains("p?~?"), "a secret in {error:?}");
}

#[tokio::test]
async fn a_pull_tells_how_it_goes() {
    let Some(registry) = Registry::new(None).await else { return };
    let Some(bench) = Bench::new(&registry.config("always")).await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    bench.driver.create(&of(&registry, "pulled")).await.expect("create");
    let seen = read_until(&mut events, says("pulled", "ImagePulled")).await;
    let told = reasons(&seen, "pulled");
    assert_eq!((told.first(), told.last()), (Some(&"ImagePulling"), Some(&"ImagePulled")), "{told:?}");
    assert!(told.contains(&"ImagePullProgress"), "{told:?}");
    let about =
        seen.iter().filter_map(platform).all(|(_, event)| event.metadata["image"] == registry.image());
    assert!(about, "{seen:?}");
    let pulled = bench.api.get(&format!("/images/{}/json", registry.image())).await;
    assert_eq!(bench.inspect("pulled").await["Image"], pulled["Id"], "made of what the tag points to");
}

#[tokio::test]
async fn credentials_are_those_of_the_auth_file_and_go_to_their_registry_alone() {
    let Some(registry) = Registry::new(Some(BASIC)).await else { return };
    let address = registry.address.clone();
    let entry =
        |registry: &str, auth: &str| format!(r#"{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}"#);
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("auth.json");
    let config = format!("{}auth_file_path = '{}'", registry.config("always"), path.display());
    let Some(bench) = Bench::new(&config).await else { return };
    for (text, expected) in [
        (entry(&address, ME), Ok(())),
        // A key may name more of the image than its registry.
        (entry(&format!("{address}/openshell-test"), ME), Ok(())),
        // `me:wrong`
        (entry(&address, "bWU6d3Jvbmc="), Err((ErrorKind::PermissionDenied, "user `me`"))),
        (entry("another.example", ME), Err((ErrorKind::PermissionDenied, "has no entry for `127.0.0.1:"))),
        (
            "{\n!}".to_owned(),
            Err((ErrorKind::FailedPrecondition, "is broken: line 2, column 1: it is not JSON")),
        ),
    ] {
        std::fs::write(&path, &text).expect("a file");
        let created = bench.driver.create(&of(&registry, "account")).await;
        match (created, expected) {
            (Ok(()), Ok(())) => drop(bench.driver.delete(&sandbox_id("account")).await.expect("delete")),
            (Err(error), Err((kind, words))) => refused(&error, kind, words),
            (created, _) => panic!("{created:?} with {text}"),
        }
        assert_eq!(bench.leftovers().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn two_sandboxes_share_one_pull_and_both_see_it() {
    let Some(registry) = Registry::new(None).await else { return };
    let Some(bench) = Bench::new(&registry.config("always")).await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    registry.close();
    let creates = ["one", "two"].map(|id| {
        let (driver, request) = (Arc::clone(&bench.driver), of(&registry, id));
        tokio::spawn(async move { driver.create(&request).await })
    });
    let mut waiting = 0;
    read_until(&mut events, |event| {
        waiting += usize::from(platform(event).is_some_and(|(_, event)| event.reason == "ImagePulling"));
        waiting == 2
    })
    .await;
    registry.open();
    for create in creates {
        create.await.expect("a task").expect("create");
    }
    assert_eq!(registry.pulls(), 1);
}

#[tokio::test]
async fn a_delete_ends_the_wait_for_a_pull() {
    let Some(registry) = Registry::new(None).await else { return };
    let Some(bench) = Bench::new(&registry.config("always")).await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    registry.close();
    let (driver, wanted) = (Arc::clone(&bench.driver), of(&registry, "unwanted"));
    let create = tokio::spawn(async move { driver.create(&wanted).await });
    read_until(&mut events, says("unwanted", "ImagePulling")).await;
    bench.driver.delete(&sandbox_id("unwanted")).await.expect("delete");
    let error = create.await.expect("a task").expect_err("deleted");
    assert_eq!(error.kind(), ErrorKind::Aborted, "{error}");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
    // Nobody waits any more, so the next one begins anew.
    registry.open();
    bench.driver.create(&of(&registry, "unwanted")).await.expect("create");
}

#[tokio::test]
async fn each_policy_when_the_registry_goes_away() {
    let Some(mut registry) = Registry::new(None).await else { return };
    let Some(newer) = Bench::new(&registry.config("newer")).await else { return };
    let missing = Bench::new(&registry.config("missing")).await.expect("a service");
    let never = Bench::new(&registry.config("never")).await.expect("a service");
    let always = Bench::new(&registry.config("always")).await.expect("a service");

    let error = never.driver.create(&of(&registry, "never")).await.expect_err("not there");
    refused(&error, ErrorKind::FailedPrecondition, "`pull_policy` is `never`");
    missing.driver.create(&of(&registry, "first")).await.expect("it is pulled");
    missing.driver.create(&of(&registry, "second")).await.expect("it is there");
    assert_eq!(registry.pulls(), 1);
    never.driver.create(&of(&registry, "never")).await.expect("it is there");
    newer.driver.create(&of(&registry, "newer")).await.expect("it is asked for");
    assert_eq!(registry.pulls(), 2);

    registry.end().await;
    let mut events = newer.driver.watch().await.expect("a watch");
    newer.driver.create(&of(&registry, "kept")).await.expect("the engine's own");
    let seen = read_until(&mut events, says("kept", "ImageKept")).await;
    assert_eq!(reasons(&seen, "kept").last(), Some(&"ImageKept"));
    let error = always.driver.create(&of(&registry, "always")).await.expect_err("away");
    refused(&error, ErrorKind::FailedPrecondition, "does not answer");
    registry.forget().await;
    let error = newer.driver.create(&of(&registry, "none")).await.expect_err("away, and nothing there");
    refused(&error, ErrorKind::FailedPrecondition, "does not answer");
}

#[tokio::test]
async fn images_that_cannot_be_had_are_told_apart() {
    let Some(registry) = Registry::new(None).await else { return };
    let Some(bench) = Bench::new(&registry.config("missing")).await else { return };
    let address = &registry.address;
    let id = format!("sha256:{}", "0".repeat(64));
    for (image, kind, words) in [
        (
            format!("{address}/openshell-test/busybox:no-such-tag"),
            ErrorKind::FailedPrecondition,
            "has no such image",
        ),
        (format!("{address}/no/such"), ErrorKind::FailedPrecondition, "has no such image"),
        (
            "localhost/no/such:1".to_owned(),
            ErrorKind::FailedPrecondition,
            "no registry knows it by that name",
        ),
        (id, ErrorKind::FailedPrecondition, "no registry knows it by that name"),
    ] {
        let mut request = request("absent", &["true"]);
        request.spec.template.image = image.clone();
        let error = bench.driver.create(&request).await.expect_err(&image);
        refused(&error, kind, words);
    }
    // A registry that is not said to be without TLS is not asked without it.
    let strict = Bench::new("pull_policy = 'always'").await.expect("a service");
    let error = strict.driver.create(&of(&registry, "untrusted")).await.expect_err("no TLS");
    refused(&error, ErrorKind::FailedPrecondition, "");
    assert_eq!(registry.pulls(), 0, "{error}");
}

#[tokio::test]
async fn an_image_is_found_by_its_id_and_by_its_short_name() {
    let Some(bench) = Bench::new("pull_policy = 'never'\nstop_timeout = 0").await else { return };
    let found = bench.api.get(&format!("/images/{}/json", image())).await;
    let id = found["Id"].as_str().expect("an id").to_owned();
    let name = image();
    let short = name.strip_prefix("localhost/").unwrap_or(&name);
    for (sandbox, image) in [("by-id", format!("sha256:{id}")), ("by-name", short.to_owned())] {
        let mut request = request(sandbox, &["sleep", "300"]);
        request.spec.template.image = image;
        bench.driver.create(&request).await.expect(sandbox);
        assert_eq!(bench.inspect(sandbox).await["Image"], id.as_str());
    }
}
