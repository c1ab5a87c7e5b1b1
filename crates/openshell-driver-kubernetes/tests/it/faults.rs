//! What goes wrong on the way to an API server, and how much of it a reader sees. The server here is made up (`fake.rs`):
//! a real one cannot be made to fail at a request of one's choice.

use std::time::Duration;

use futures_util::StreamExt;
use openshell_driver_api::{ErrorKind, EventStream, Secret, WatchEvent};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::bench::{PATIENCE, read_until, ready, request, sandbox_id, tells};
use crate::fake::{Failure, Fake};

/// More changing requests than any operation makes.
const MOST: usize = 30;

/// A watch whose followers have all arrived at the server.
async fn watching(fake: &Fake) -> EventStream {
    let events = fake.driver.watch().await.expect("a watch");
    settled(fake).await;
    events
}

async fn settled(fake: &Fake) {
    let deadline = Instant::now() + PATIENCE;
    while fake.world().watching() < 3 {
        assert!(Instant::now() < deadline, "{:?}", fake.world().log);
        sleep(Duration::from_millis(10)).await;
    }
}

async fn create(fake: &Fake, id: &str) {
    fake.driver.create(&request(id, &["sleep", "300"])).await.expect("create");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_fails_at_any_step_leaves_nothing() {
    let fake = Fake::new("").await;
    for how in [Failure::Refused, Failure::Unheard] {
        for many in [1, 3] {
            for step in 1..MOST {
                let mut wanted = request("half", &["sleep", "300"]);
                wanted.spec.token = Secret::new("s3cret");
                fake.world().fail(step..step + many, how);
                let created = fake.driver.create(&wanted).await;
                let failed = fake.world().heal();
                match &created {
                    Ok(()) => assert!(!failed, "{how:?} at step {step} of {:#?}", fake.world().log),
                    Err(error) => {
                        assert!(failed && !format!("{error:?}").contains("s3cret"), "{error:?}");
                        let left: Vec<_> = fake.world().objects.keys().cloned().collect();
                        assert!(
                            left.is_empty(),
                            "{how:?} at step {step}: {left:?} of {:#?}",
                            fake.world().log
                        );
                    }
                }
                fake.driver.delete(&sandbox_id("half")).await.expect("delete");
                assert!(fake.world().objects.is_empty());
                if !failed {
                    break;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_may_be_said_again() {
    let fake = Fake::new("").await;
    let id = sandbox_id("again");
    for how in [Failure::Refused, Failure::Unheard] {
        for step in 1..MOST {
            create(&fake, "again").await;
            fake.world().fail(step..step + 1, how);
            let stopped = fake.driver.stop(&id).await;
            let stop_failed = fake.world().heal();
            assert!(stopped.is_ok() || stop_failed);
            fake.driver.stop(&id).await.expect("stop");
            assert_eq!(ready(&fake.driver.get(&id).await.expect("a sandbox")).reason, "Stopped");
            fake.world().fail(step..step + 1, how);
            let started = fake.driver.start(&id).await;
            let start_failed = fake.world().heal();
            assert!(started.is_ok() || start_failed);
            fake.driver.start(&id).await.expect("start");
            assert_eq!(ready(&fake.driver.get(&id).await.expect("a sandbox")).reason, "Starting");
            fake.world().fail(step..step + 1, how);
            let deleted = fake.driver.delete(&id).await;
            let delete_failed = fake.world().heal();
            let again = fake.driver.delete(&id).await.expect("delete");
            match deleted {
                Ok(deleted) => assert!(deleted && !again),
                Err(error) => assert!(delete_failed && (again || how == Failure::Unheard), "{error}"),
            }
            assert!(fake.world().objects.is_empty());
            if !stop_failed && !start_failed && !delete_failed {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_no_end_but_its_own() {
    let fake = Fake::new("").await;
    create(&fake, "model").await;
    {
        let mut world = fake.world();
        let model = world
            .objects
            .iter()
            .find(|((kind, _), _)| kind == "configmaps")
            .map(|(_, object)| object.clone());
        let model = model.expect("a record");
        for count in 0..1199 {
            let mut object = model.clone();
            object["metadata"]["name"] = json!(format!("openshell-{count}"));
            object["metadata"]["annotations"]["openshell.ai/sandbox-id"] = json!(format!("s-{count:04}"));
            object["metadata"]["uid"] = json!(format!("u-{count}"));
            world.put("configmaps", object);
        }
        world.log.clear();
    }
    assert_eq!(fake.driver.list().await.expect("a list").len(), 1200);
    let pages = fake.world().log.iter().filter(|line| line.contains("/configmaps?")).count();
    assert_eq!(pages, 3, "{:?}", fake.world().log);
    // A reader that takes its time with the snapshot gets all of it, and what changed since.
    fake.world().log.clear();
    let mut events = fake.driver.watch().await.expect("a watch");
    let deadline = Instant::now() + PATIENCE;
    while !fake.world().log.iter().any(|line| line.contains("/pods?")) {
        assert!(Instant::now() < deadline, "{:?}", fake.world().log);
        sleep(Duration::from_millis(10)).await;
    }
    fake.world().remove("configmaps", "openshell-7");
    let mut seen = 0;
    read_until(&mut events, |event| {
        seen += usize::from(matches!(event, WatchEvent::Sandbox(_)));
        matches!(event, WatchEvent::Deleted(id) if id.as_str() == "s-0007")
    })
    .await;
    assert_eq!(seen, 1200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let fake = Fake::new("").await;
    create(&fake, "one").await;
    let mut events = watching(&fake).await;
    create(&fake, "two").await;
    read_until(&mut events, |event| tells(event, "two", "Starting")).await;
    fake.world().cut();
    create(&fake, "three").await;
    fake.driver.delete(&sandbox_id("one")).await.expect("delete");
    let seen = read_until(&mut events, |event| matches!(event, WatchEvent::Deleted(_))).await;
    assert!(seen.iter().any(|event| tells(event, "three", "Starting")), "{seen:#?}");
    assert!(!seen.iter().any(|event| tells(event, "two", "Starting")), "nothing is told twice: {seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_an_expiry_is_told_after_it() {
    let fake = Fake::new("").await;
    for id in ["stays", "goes"] {
        create(&fake, id).await;
    }
    let mut events = watching(&fake).await;
    read_until(&mut events, |event| tells(event, "stays", "Starting")).await;
    create(&fake, "comes").await;
    {
        // One goes and one comes while nobody is told, and the versions are forgotten.
        let mut world = fake.world();
        let named = |world: &crate::fake::World, id: &str| {
            let found = world.objects.keys().find(|(kind, name)| kind == "configmaps" && name.contains(id));
            found.expect("a record").1.clone()
        };
        let goes = named(&world, "goes");
        world.cut();
        world.remove("configmaps", &goes);
        world.remove("pods", &goes);
        world.expire();
    }
    let seen =
        read_until(&mut events, |event| matches!(event, WatchEvent::Deleted(id) if id.as_str() == "goes"))
            .await;
    assert!(!seen.iter().any(|event| matches!(event, WatchEvent::Deleted(id) if id.as_str() != "goes")));
    settled(&fake).await;
    create(&fake, "later").await;
    read_until(&mut events, |event| tells(event, "later", "Starting")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_told_of_before_its_pod_is_no_end() {
    let fake = Fake::new("").await;
    create(&fake, "one").await;
    let mut events = watching(&fake).await;
    read_until(&mut events, |event| tells(event, "one", "Starting")).await;
    let mut record = fake.world().only("configmaps");
    let mut pod = fake.world().only("pods");
    let name = pod["metadata"]["name"].as_str().expect("a name").to_owned();
    record["metadata"]["annotations"]["openshell.ai/wanted"] = json!("starting");
    fake.world().put("configmaps", record.clone());
    fake.world().remove("pods", &name);
    // The pod is made, which nobody has heard of, and the record says so.
    pod["metadata"]["uid"] = json!("the-second");
    fake.world().objects.insert(("pods".to_owned(), name), pod.clone());
    record["metadata"]["annotations"]["openshell.ai/wanted"] = json!("running");
    fake.world().put("configmaps", record);
    sleep(Duration::from_millis(500)).await;
    fake.world().put("pods", pod);
    let seen = read_until(
        &mut events,
        |event| matches!(event, WatchEvent::Sandbox(seen) if seen.status.instance_id == "the-second"),
    )
    .await;
    assert!(!seen.iter().any(|event| tells(event, "one", "ContainerExited")), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_at_once_is_not_asked_without_end_nor_for_old_events() {
    let fake = Fake::new("").await;
    create(&fake, "one").await;
    let mut events = watching(&fake).await;
    read_until(&mut events, |event| tells(event, "one", "Starting")).await;
    fake.world().log.clear();
    fake.world().forget();
    sleep(Duration::from_secs(3)).await;
    let log = fake.world().log.clone();
    let lists = |kind: &str| {
        let of = |line: &&String| line.contains(&format!("/{kind}?")) && !line.contains("watch=true");
        log.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    for kind in ["configmaps", "pods", "events"] {
        assert!((1..=5).contains(&lists(kind).len()), "{kind}: {log:#?}");
    }
    // Of events there may be a cluster's worth, of which none is wanted.
    assert!(
        lists("events").iter().all(|line| line.contains("limit=1&") || line.ends_with("limit=1")),
        "{log:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_wait_for_their_pods_are_not_waited_for_again_and_again() {
    let fake = Fake::new("").await;
    // Nothing here binds a claim.
    let mut waited = Vec::new();
    for number in 0..18 {
        create(&fake, &format!("s{number}")).await;
        let mut world = fake.world();
        if world.log.iter().any(|line| line.starts_with("GET") && line.contains("/persistentvolumeclaims/")) {
            waited.push(number);
        }
        world.log.clear();
    }
    assert_eq!(waited, [0, 1, 2, 16]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_secret_is_read_by_nobody() {
    let fake = Fake::new("").await;
    let mut wanted = request("one", &["sleep", "300"]);
    wanted.spec.token = Secret::new("s3cret");
    // Of what makes no sense the client writes down every word.
    fake.world().nonsense = Some("secrets");
    fake.driver.create(&wanted).await.expect("create");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_ends_the_watch_with_a_word() {
    let fake = Fake::new("").await;
    create(&fake, "one").await;
    let mut events = watching(&fake).await;
    read_until(&mut events, |event| tells(event, "one", "Starting")).await;
    fake.world().down = Some((503, "the server is shutting down".to_owned()));
    fake.world().cut();
    let error = timeout(PATIENCE, events.next()).await.expect("an end").expect("a reason").expect_err("away");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("shutting down"), "{error}");
    assert!(events.next().await.is_none());
    assert_eq!(fake.driver.list().await.expect_err("away").kind(), ErrorKind::Unavailable);
    fake.world().down = None;
    let mut events = watching(&fake).await;
    read_until(&mut events, |event| tells(event, "one", "Starting")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_as_the_server_names_it() {
    let fake = Fake::new("").await;
    let said = "configmaps is forbidden: User \"limited\" cannot list resource \"configmaps\" in API group \"\" in the \
                namespace \"fake\"";
    fake.world().down = Some((403, said.to_owned()));
    for error in [
        fake.driver.list().await.expect_err("forbidden"),
        fake.driver.create(&request("one", &["true"])).await.expect_err("forbidden"),
        fake.driver.watch().await.expect("a watch").next().await.expect("a reason").expect_err("forbidden"),
    ] {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.message().contains("cannot list resource \"configmaps\""), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_falls_behind_is_told_so() {
    let fake = Fake::new("").await;
    create(&fake, "one").await;
    let mut events = watching(&fake).await;
    for turn in 0..3000 {
        let reason = if turn % 2 == 0 { "ContainerCreating" } else { "ErrImagePull" };
        let mut world = fake.world();
        let pod = world.objects.iter().find(|((kind, _), _)| kind == "pods").map(|(_, pod)| pod.clone());
        let mut pod = pod.expect("a pod");
        pod["status"] = json!({ "containerStatuses": [{ "name": "sandbox", "ready": false, "restartCount": 0, "image": "",
            "imageID": "", "state": { "waiting": { "reason": reason } } }] });
        world.put("pods", pod);
    }
    sleep(Duration::from_secs(2)).await;
    let mut read = 0;
    let error = loop {
        match timeout(PATIENCE, events.next()).await.expect("an item").expect("a reason before the end") {
            Ok(_) => read += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(read <= 1025, "{read}");
    assert!(events.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_holds_up_one_request_and_no_other() {
    let fake = Fake::new("").await;
    create(&fake, "one").await;
    fake.world().hang = Some("GET /api/v1/namespaces/fake/configmaps?".to_owned());
    let driver = std::sync::Arc::clone(&fake.driver);
    let hung = tokio::spawn(async move { driver.list().await });
    sleep(Duration::from_millis(200)).await;
    let others = async {
        create(&fake, "two").await;
        fake.driver.get(&sandbox_id("two")).await.expect("a sandbox");
        fake.driver.delete(&sandbox_id("one")).await.expect("delete");
    };
    timeout(Duration::from_secs(18), others).await.expect("others go on");
    let error = timeout(PATIENCE, hung).await.expect("an end").expect("a task").expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_says_early_waits_for_its_pod() {
    let fake = Fake::new("").await;
    let mut events = watching(&fake).await;
    let event = |uid: &str| {
        json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": format!("e-{uid}") }, "reason": "Scheduled",
            "involvedObject": { "kind": "Pod", "uid": uid } })
    };
    fake.world().say("events", &json!({ "type": "ADDED", "object": event("a-stranger-s") }));
    fake.world().say("events", &json!({ "type": "ADDED", "object": event("to-come") }));
    create(&fake, "one").await;
    {
        let mut world = fake.world();
        let found = world.objects.iter().find(|((kind, _), _)| kind == "pods").map(|(_, pod)| pod.clone());
        let mut pod = found.expect("a pod");
        pod["metadata"]["uid"] = json!("to-come");
        world.put("pods", pod);
    }
    let seen = read_until(&mut events, |event| matches!(event, WatchEvent::Platform { .. })).await;
    assert!(
        matches!(&seen[seen.len() - 1], WatchEvent::Platform { id, event } if id.as_str() == "one" && event.reason == "Scheduled")
    );
}
