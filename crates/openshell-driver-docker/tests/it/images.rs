//! Images: policies, credentials, pulls that are shared, followed and given up.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use futures_util::StreamExt;
use openshell_driver_api::{DriverError, ErrorKind, PlatformEvent, SandboxRequest, WatchEvent};

use crate::bench::{Bench, read_until, request, sandbox_id};
use crate::registry::Registry;

/// `me:p?~?~~>`: in the base64 of what an engine is sent, this password needs both characters that the alphabet for URLs has otherwise.
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

/// A driver with a Docker configuration of this text.
async fn with_accounts(text: &str) -> Option<(Bench, tempfile::TempDir)> {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("config.json");
    std::fs::write(&path, text).expect("a file");
    let config =
        format!("pull_policy = 'always'\ndocker_config_path = '{}'\nstop_timeout = 0", path.display());
    Some((Bench::new(&config).await?, root))
}

fn refused(error: &DriverError, kind: ErrorKind, words: &str) {
    assert_eq!((error.kind(), error.reason()), (kind, Some("ImagePullFailed")), "{error}");
    assert!(error.message().contains(words), "`{words}` in {error}");
    assert!(!format!("{error:?}").contains("p?~?"), "a secret in {error:?}");
}

#[tokio::test]
async fn a_pull_tells_how_it_goes() {
    let Some(registry) = Registry::new(None).await else { return };
    let Some(bench) = Bench::new("pull_policy = 'always'").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    bench.driver.create(&of(&registry, "pulled")).await.expect("create");
    let seen = read_until(&mut events, says("pulled", "Started")).await;
    let told = reasons(&seen, "pulled");
    assert_eq!((told.first(), told.last()), (Some(&"ImagePulling"), Some(&"Started")), "{told:?}");
    let position = |reason| {
        told.iter().position(|told| *told == reason).unwrap_or_else(|| panic!("{reason} in {told:?}"))
    };
    assert!(
        position("ImagePullProgress") < position("ImagePulled")
            && position("ImagePulled") < position("Created")
    );
    let mut progress =
        seen.iter().filter_map(platform).filter(|(_, event)| event.reason == "ImagePullProgress");
    let (_, last) = progress.next_back().expect("progress");
    assert_eq!(last.metadata["image"], registry.image());
    assert_eq!(last.metadata["layers"], "1");
    let bytes: usize = last.metadata["bytes"].parse().expect("a number");
    assert!(bytes <= registry.layer_bytes(), "{last:?}");
    let container = bench.inspect("pulled").await;
    assert_eq!(
        container.config.and_then(|config| config.image),
        container.image,
        "made of the id, not of the tag"
    );
}

#[tokio::test]
async fn credentials_are_the_docker_configuration_s() {
    let Some(registry) = Registry::new(Some(BASIC)).await else { return };
    let address = registry.address.clone();
    let entry =
        |registry: &str, auth: &str| format!(r#"{{"auths": {{"{registry}": {{"auth": "{auth}"}}}}}}"#);

    let Some((bench, _root)) = with_accounts(&entry(&address, ME)).await else { return };
    bench.driver.create(&of(&registry, "right")).await.expect("the right credentials");

    for (text, kind, words) in [
        // `me:wrong`
        (
            entry(&address, "bWU6d3Jvbmc="),
            ErrorKind::PermissionDenied,
            format!("has an entry for `{address}`, user `me`"),
        ),
        (entry("another.example", ME), ErrorKind::PermissionDenied, format!("has no entry for `{address}`")),
        ("{}".to_owned(), ErrorKind::PermissionDenied, format!("has no entry for `{address}`")),
        (
            "{\n!}".to_owned(),
            ErrorKind::FailedPrecondition,
            "is broken: line 2, column 1: it is not JSON".to_owned(),
        ),
    ] {
        let (bench, _root) = with_accounts(&text).await.expect("an engine");
        let error = bench.driver.create(&of(&registry, "wrong")).await.expect_err(&text);
        refused(&error, kind, &words);
        assert_eq!(bench.leftovers().await, Vec::<String>::new());
    }
    // Whoever pulls nothing is not bothered by a broken file.
    let root = tempfile::tempdir().expect("a directory");
    let broken = root.path().join("config.json");
    std::fs::write(&broken, "{").expect("a file");
    let bench = Bench::new(&format!("docker_config_path = '{}'", broken.display())).await.expect("an engine");
    bench.driver.create(&request("no-pull", &["sleep", "300"])).await.expect("create");
}

/// What the helper's test runs in a process of its own, with a `PATH` of its own.
#[tokio::test]
#[ignore = "run by a_helper_is_asked"]
async fn inside_of_a_helper_s_path() {
    let Some(registry) = Registry::new(Some(BASIC)).await else { return };
    let Some((bench, _root)) = with_accounts(r#"{"credsStore": "openshell-it"}"#).await else { return };
    bench.driver.create(&of(&registry, "helped")).await.expect("the helper's credentials");
    println!("helped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_is_asked() {
    if Registry::new(None).await.is_none() || Bench::new("").await.is_none() {
        return;
    }
    let root = tempfile::tempdir().expect("a directory");
    let program = root.path().join("docker-credential-openshell-it");
    let script = "#!/bin/sh\nread -r server || :\ncase \"$1 $server\" in get\\ 127.0.0.1:*) ;; *) exit 1 ;; esac\n\
                  printf '{\"ServerURL\":\"%s\",\"Username\":\"me\",\"Secret\":\"p?~?~~>\"}' \"$server\"\n";
    std::fs::write(&program, script).expect("a program");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = format!("{}:{}", root.path().display(), std::env::var("PATH").unwrap_or_default());
    let run = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "images::inside_of_a_helper_s_path", "--ignored", "--nocapture"])
        .env("PATH", path)
        .output()
        .expect("a run");
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("helped"), "{said}");
}

#[tokio::test]
async fn two_sandboxes_share_one_pull_and_both_see_it() {
    let Some(registry) = Registry::new(None).await else { return };
    let Some(bench) = Bench::new("pull_policy = 'always'").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    registry.close();
    let creates = ["one", "two"].map(|id| {
        let (driver, request) = (Arc::clone(&bench.driver), of(&registry, id));
        tokio::spawn(async move { driver.create(&request).await })
    });
    let mut waiting = 0;
    let mut seen = read_until(&mut events, |event| {
        waiting += usize::from(platform(event).is_some_and(|(_, event)| event.reason == "ImagePulling"));
        waiting == 2
    })
    .await;
    registry.open();
    for create in creates {
        create.await.expect("a task").expect("create");
    }
    let mut started = 0;
    seen.extend(
        read_until(&mut events, |event| {
            started += usize::from(platform(event).is_some_and(|(_, event)| event.reason == "Started"));
            started == 2
        })
        .await,
    );
    assert_eq!(registry.pulls(), 1);
    for id in ["one", "two"] {
        let told = reasons(&seen, id);
        assert!(told.contains(&"ImagePullProgress") && told.contains(&"ImagePulled"), "{id}: {told:?}");
    }
}

#[tokio::test]
async fn a_delete_ends_the_wait_for_a_pull() {
    let Some(registry) = Registry::new(None).await else { return };
    let Some(bench) = Bench::new("pull_policy = 'always'").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    registry.close();
    let (driver, wanted) = (Arc::clone(&bench.driver), of(&registry, "unwanted"));
    let create = tokio::spawn(async move { driver.create(&wanted).await });
    read_until(&mut events, says("unwanted", "ImagePulling")).await;
    assert!(!bench.driver.delete(&sandbox_id("unwanted")).await.expect("delete"));
    let error = create.await.expect("a task").expect_err("deleted");
    assert_eq!(error.kind(), ErrorKind::Aborted, "{error}");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
    // Nobody waits any more, so the next one begins anew.
    registry.open();
    bench.driver.create(&of(&registry, "unwanted")).await.expect("create");
}

#[tokio::test]
async fn newer_keeps_what_is_there_when_the_registry_is_away() {
    let Some(mut registry) = Registry::new(None).await else { return };
    let Some(bench) = Bench::new("pull_policy = 'newer'\nstop_timeout = 0").await else { return };
    bench.driver.create(&of(&registry, "fresh")).await.expect("create");
    assert_eq!(registry.pulls(), 1);
    registry.end().await;
    let mut events = bench.driver.watch().await.expect("a watch");
    bench.driver.create(&of(&registry, "kept")).await.expect("the engine's own");
    let seen = read_until(&mut events, says("kept", "ImageKept")).await;
    assert_eq!(reasons(&seen, "kept"), ["ImagePulling", "ImageKept"]);

    let always = Bench::new("pull_policy = 'always'").await.expect("an engine");
    let error = always.driver.create(&of(&registry, "always")).await.expect_err("away");
    refused(&error, ErrorKind::FailedPrecondition, "does not answer");
    registry.forget().await;
    let error = bench.driver.create(&of(&registry, "none")).await.expect_err("away, and nothing there");
    refused(&error, ErrorKind::FailedPrecondition, "does not answer");
}

#[tokio::test]
async fn an_image_that_the_registry_does_not_have() {
    let Some(registry) = Registry::new(None).await else { return };
    let Some(bench) = Bench::new("").await else { return };
    for image in ["openshell-test/busybox:no-such-tag", "no/such"] {
        let mut request = request("absent", &["true"]);
        request.spec.template.image = format!("{}/{image}", registry.address);
        let error = bench.driver.create(&request).await.expect_err(image);
        refused(&error, ErrorKind::FailedPrecondition, "the registry has no such image");
    }
}

#[tokio::test]
async fn an_image_for_another_machine_is_refused_by_name() {
    let Some(bench) = Bench::new("").await else { return };
    let version = bench.docker.version().await.expect("a version");
    let other = if version.arch.as_deref() == Some("arm64") { "amd64" } else { "arm64" };
    let name = format!("openshell-test/{}:other", bench.gateway_id);
    // An image of one empty layer: two blocks of zeros.
    let layer = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    let config = format!(
        r#"{{"architecture":"{other}","os":"linux","config":{{"Cmd":["/x"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{layer}"]}}}}"#
    );
    let root = tempfile::tempdir().expect("a directory");
    let write = |file: &str, bytes: &[u8]| std::fs::write(root.path().join(file), bytes).expect("a file");
    write("layer.tar", &[0; 1024]);
    write("config.json", config.as_bytes());
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{name}"],"Layers":["layer.tar"]}}]"#);
    write("manifest.json", manifest.as_bytes());
    let packed =
        Command::new("tar").arg("-C").arg(root.path()).args(["-cf", "-", "."]).output().expect("tar");
    let body = bollard::body_full(packed.stdout.into());
    let options = bollard::query_parameters::ImportImageOptions::default();
    let loaded: Vec<_> = bench.docker.import_image(options, body, None).collect().await;
    assert!(loaded.iter().all(Result::is_ok), "{loaded:?}");

    let mut wanted = request("other", &["true"]);
    wanted.spec.template.image = name.clone();
    let error = bench.driver.create(&wanted).await.expect_err("another machine");
    refused(&error, ErrorKind::FailedPrecondition, &format!("`{name}` is made for linux/{other}"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
    let options = bollard::query_parameters::RemoveImageOptionsBuilder::new().force(true).build();
    bench.docker.remove_image(&name, Some(options), None).await.expect("the image goes");
}
