//! Creates that fail leave nothing, and a second one disturbs nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use openshell_driver_api::{ErrorKind, Secret, WatchEvent, labels};
use serde_json::json;

use crate::bench::{Bench, PATIENCE, ask, image, read_until, ready_reason, request, sandbox_id};

#[tokio::test]
async fn a_second_create_disturbs_nothing() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("taken", &["sleep", "300"])).await.expect("create");
    let before = bench.driver.get(&sandbox_id("taken")).await.expect("a sandbox");
    let mut again = request("taken", &["true"]);
    again.name = "another-name".to_owned();
    assert_eq!(bench.driver.create(&again).await.expect_err("taken").kind(), ErrorKind::AlreadyExists);
    // Another process with the same gateway id knows nothing of this one's locks.
    let other = bench.reopen().await;
    assert_eq!(other.create(&again).await.expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert_eq!(bench.driver.get(&sandbox_id("taken")).await.expect("a sandbox"), before);
}

#[tokio::test]
async fn of_many_creates_at_once_one_wins() {
    let Some(bench) = Bench::new("").await else { return };
    let creates = (0..6).map(|_| {
        let driver = Arc::clone(&bench.driver);
        async move { driver.create(&request("race", &["sleep", "300"])).await.map_err(|error| error.kind()) }
    });
    let results = futures_util::future::join_all(creates).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(
        results.iter().all(|result| matches!(result, Ok(()) | Err(ErrorKind::AlreadyExists))),
        "{results:?}"
    );
    assert_eq!(ready_reason(&bench.driver.get(&sandbox_id("race")).await.expect("a sandbox")), "Running");
}

#[tokio::test]
async fn an_image_that_does_not_exist() {
    let Some(bench) = Bench::new("").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    let mut request = request("no-image", &["true"]);
    // Nobody listens on port 1, so the pull fails at once.
    request.spec.template.image = "127.0.0.1:1/no/such:image".to_owned();
    let error = bench.driver.create(&request).await.expect_err("no image");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::FailedPrecondition, Some("ImagePullFailed")));
    assert!(error.message().contains("127.0.0.1:1/no/such:image"), "{error}");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
    let mut reasons = Vec::new();
    read_until(&mut events, |event| {
        let WatchEvent::Platform { event, .. } = event else { return false };
        reasons.push(event.reason.clone());
        event.kind == "Warning"
    })
    .await;
    assert_eq!(reasons, ["ImagePulling", "ImagePullFailed"]);
}

#[tokio::test]
async fn an_image_that_may_not_be_pulled() {
    let Some(bench) = Bench::new("pull_policy = 'never'").await else { return };
    let mut request = request("never", &["true"]);
    request.spec.template.image = "127.0.0.1:1/no/such:image".to_owned();
    let error = bench.driver.create(&request).await.expect_err("no image");
    assert!(error.message().contains("pull_policy"), "{error}");
}

#[tokio::test]
async fn a_create_that_fails_half_way_leaves_nothing() {
    for config in ["user = 'nobody-here'", "network = 'no-such-network'"] {
        let Some(bench) = Bench::new(config).await else { return };
        let error = bench.driver.create(&request("half", &["sleep", "300"])).await.expect_err(config);
        assert!(
            matches!(error.kind(), ErrorKind::FailedPrecondition | ErrorKind::InvalidArgument),
            "{config}: {error:?}"
        );
        assert_eq!(bench.leftovers().await, Vec::<String>::new(), "{config}");
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_an_exit() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("no-command", &["/no/such/program"])).await.expect("create");
    let seen = bench.until("no-command", "ContainerExited").await;
    assert!(seen.status.conditions[0].message.contains("exit code 127"), "{seen:?}");
    assert!(bench.driver.delete(&sandbox_id("no-command")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_empty_command_is_a_shell_that_waits() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("shell", &[])).await.expect("create");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ready_reason(&bench.driver.get(&sandbox_id("shell")).await.expect("a sandbox")), "Running");
    assert_eq!(bench.inspect("shell").await.path.as_deref(), Some("/bin/sh"));
}

#[tokio::test]
async fn a_delete_ends_a_create_that_is_still_pulling() {
    let Some(bench) = Bench::new("").await else { return };
    // A registry that takes connections and says nothing.
    let registry = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut slow = request("slow", &["true"]);
    slow.spec.template.image = format!("{}/slow:1", registry.local_addr().expect("an address"));
    let mut events = bench.driver.watch().await.expect("a watch");
    let driver = Arc::clone(&bench.driver);
    let create = tokio::spawn(async move { driver.create(&slow).await });
    read_until(&mut events, |event| matches!(event, WatchEvent::Platform { .. })).await;
    assert!(!bench.driver.delete(&sandbox_id("slow")).await.expect("delete"));
    let error = create.await.expect("no panic").expect_err("deleted meanwhile");
    assert_eq!(error.kind(), ErrorKind::Aborted);
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_half_sandbox() {
    let Some(bench) = Bench::new("").await else { return };
    for wait in [1, 20, 60, 120] {
        let id = format!("left-{wait}");
        let request = request(&id, &["sleep", "300"]);
        let gone = tokio::time::timeout(Duration::from_millis(wait), bench.driver.create(&request));
        let _ = gone.await;
        assert!(bench.driver.delete(&sandbox_id(&id)).await.is_ok());
    }
    // Whatever the deletes came upon, nothing is left, once the last create has come to its end.
    let mut left = Vec::new();
    for _ in 0..600 {
        left = bench.leftovers().await;
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("left: {left:?}");
}

#[tokio::test]
async fn a_volume_without_its_container() {
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("orphan");
    bench.driver.create(&request("orphan", &["sh", "-c", "ls -A /sandbox"])).await.expect("create");
    let labels = bench.inspect("orphan").await.config.and_then(|config| config.labels).expect("labels");
    let volume =
        bench.inspect("orphan").await.mounts.and_then(|mounts| mounts[0].name.clone()).expect("a volume");
    bench.driver.delete(&id).await.expect("delete");
    let orphan =
        VolumeCreateRequest { name: Some(volume), labels: Some(labels), ..VolumeCreateRequest::default() };
    bench.docker.create_volume(orphan).await.expect("a volume");
    assert_eq!(bench.driver.get(&id).await.expect_err("no container").kind(), ErrorKind::NotFound);
    assert!(bench.driver.delete(&id).await.expect("delete"), "something was there");
    assert!(!bench.driver.delete(&id).await.expect("delete"));
}

/// Makes a container of a sandbox and does not start it: as far as a gateway gets that is killed in the middle.
async fn half_made(bench: &Bench, id: &str, suffix: &str) -> String {
    let labels = [
        (labels::MANAGED_BY, labels::MANAGED_BY_VALUE),
        (labels::GATEWAY_ID, bench.gateway_id.as_str()),
        (labels::SANDBOX_ID, id),
    ];
    let labels: HashMap<String, String> =
        labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let name = format!("openshell-{}.{id}{suffix}", bench.gateway_id);
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let body = ContainerCreateBody {
        image: Some(image()),
        cmd: Some(vec!["sleep".to_owned(), "300".to_owned()]),
        labels: Some(labels),
        ..ContainerCreateBody::default()
    };
    bench.docker.create_container(Some(options), body).await.expect("a container").id
}

#[tokio::test]
async fn what_a_killed_gateway_left_half_made_is_made_anew() {
    let Some(bench) = Bench::new("").await else { return };
    let left = [half_made(&bench, "anew", "").await, half_made(&bench, "anew", ".files").await];
    let mut request = request("anew", &["sh", "-c", "cat /run/openshell/token; echo; exec sleep 300"]);
    request.spec.token = Secret::new("s3cret");
    bench.driver.create(&request).await.expect("create");
    let made = bench.until("anew", "Running").await;
    assert!(!left.contains(&made.status.instance_id));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while bench.output("anew").await != "s3cret\n" {
        assert!(tokio::time::Instant::now() < deadline, "no token in {:?}", bench.output("anew").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.driver.create(&request).await.expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert!(bench.driver.delete(&sandbox_id("anew")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_container_for_a_sandbox_s_files_is_not_taken_for_it() {
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("sealed");
    bench.driver.create(&request("sealed", &["sleep", "300"])).await.expect("create");
    let made = bench.driver.get(&id).await.expect("a sandbox");
    // Younger than the sandbox's own, and thus listed first.
    half_made(&bench, "sealed", ".files").await;
    assert_eq!(bench.driver.get(&id).await.expect("a sandbox"), made);
    assert_eq!(bench.driver.list().await.expect("a list"), [made]);
    bench.driver.stop(&id).await.expect("stop");
    bench.driver.start(&id).await.expect("start");
    assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Running");
    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

/// The image's `/sandbox` is its user's, who finds it so without a file being put anywhere; for root it is made bare once it
/// is known to be empty, for anybody else it is given away. The first of an image finds out which, the second knows.
#[tokio::test]
async fn a_workspace_is_the_main_process_s_whoever_that_is() {
    let Some(bench) = Bench::new("").await else { return };
    let script = "touch /sandbox/mine && stat -c '%u %a' /sandbox";
    let users = ["sandbox", "1000", "1234", "0", "sandbox", "0"];
    let numbers = ["1000", "1000", "1234", "0", "1000", "0"];
    for (number, (user, uid)) in users.into_iter().zip(numbers).enumerate() {
        let id = format!("whose-{number}");
        let mut request = request(&id, &["sh", "-c", script]);
        ask(&mut request, json!({ "user": user }));
        bench.driver.create(&request).await.expect("create");
        bench.until(&id, "ContainerExited").await;
        assert_eq!(bench.output(&id).await, format!("{uid} 755\n"), "{user}");
        let mounts = bench.inspect(&id).await.host_config.and_then(|host| host.mounts).expect("mounts");
        let options = mounts.iter().find_map(|mount| mount.volume_options.as_ref()).expect("a volume's");
        assert_eq!(options.no_copy, (user == "0").then_some(true), "{user}");
    }
}
