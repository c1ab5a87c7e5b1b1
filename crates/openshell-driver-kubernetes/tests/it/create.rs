//! Creates that fail leave nothing, and a second one disturbs nothing.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, ResourceQuota, Secret};
use kube::api::{Api, PostParams};
use openshell_driver_api::{ErrorKind, Secret as Token, labels};
use serde_json::json;

use crate::bench::{Bench, ready, request, sandbox_id, uid};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_create_disturbs_nothing() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("taken", &["sleep", "300"])).await.expect("create");
    let before = bench.until("taken", "Running").await;
    let mut again = request("taken", &["true"]);
    again.name = "another-name".to_owned();
    assert_eq!(bench.driver.create(&again).await.expect_err("taken").kind(), ErrorKind::AlreadyExists);
    // Another process with the same gateway id knows nothing of this one's locks.
    let other = bench.reopen().await;
    assert_eq!(other.create(&again).await.expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert_eq!(bench.driver.get(&sandbox_id("taken")).await.expect("a sandbox"), before);
    // Nor does it matter that it is stopped, and has no pod.
    bench.driver.stop(&sandbox_id("taken")).await.expect("stop");
    assert_eq!(other.create(&again).await.expect_err("taken").kind(), ErrorKind::AlreadyExists);
    bench.driver.start(&sandbox_id("taken")).await.expect("start");
    bench.until("taken", "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creates_at_once_one_wins() {
    let Some(bench) = Bench::new("").await else { return };
    let other = bench.reopen().await;
    let creates = (0..6).map(|turn| {
        let driver = if turn % 2 == 0 { Arc::clone(&bench.driver) } else { Arc::clone(&other) };
        async move { driver.create(&request("race", &["sleep", "300"])).await.map_err(|error| error.kind()) }
    });
    let results = futures_util::future::join_all(creates).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(
        results.iter().all(|result| matches!(result, Ok(()) | Err(ErrorKind::AlreadyExists))),
        "{results:?}"
    );
    bench.until("race", "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_do_not_see_each_other() {
    let Some(bench) = Bench::new("").await else { return };
    let other = bench.beside().await;
    let id = sandbox_id("same");
    for one in [&bench, &other] {
        one.driver.create(&request("same", &["sleep", "300"])).await.expect("create");
    }
    let (mine, theirs) = (bench.until("same", "Running").await, other.until("same", "Running").await);
    assert_ne!(mine.status.instance_id, theirs.status.instance_id);
    assert_eq!(bench.driver.list().await.expect("a list"), [mine]);
    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(other.driver.get(&id).await.expect("a sandbox"), theirs);
    assert!(bench.driver.list().await.expect("a list").is_empty());
    assert!(other.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_fails_half_way_leaves_nothing() {
    let Some(bench) = Bench::new("").await else { return };
    // No pod fits into this namespace, which the API server says when record, claim and secret are there.
    let quota = json!({ "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } } });
    let quota: ResourceQuota = serde_json::from_value(quota).expect("a quota");
    bench.api().create(&PostParams::default(), &quota).await.expect("a quota");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut wanted = request("half", &["sleep", "300"]);
    wanted.spec.token = Token::new("s3cret");
    let error = bench.driver.create(&wanted).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert!(
        error.message().contains("exceeded quota") && !format!("{error:?}").contains("s3cret"),
        "{error:?}"
    );
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_not_there_is_named() {
    let Some(bench) = Bench::new("").await else { return };
    let mut table = bench.table.clone();
    table.insert("namespace".to_owned(), "it-no-such-namespace".into());
    let driver = crate::bench::open(&bench.gateway_id, &table).await.expect("a driver");
    let error = driver.create(&request("nowhere", &["true"])).await.expect_err("no namespace");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    assert!(error.message().contains("it-no-such-namespace"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_half_sandbox() {
    let Some(bench) = Bench::new("").await else { return };
    for wait in [1, 10, 30, 60] {
        let id = format!("left-{wait}");
        let request = request(&id, &["sleep", "300"]);
        let gone = tokio::time::timeout(Duration::from_millis(wait), bench.driver.create(&request));
        let _ = gone.await;
        bench.driver.delete(&sandbox_id(&id)).await.expect("delete");
    }
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_left_half_made_is_made_anew() {
    let Some(bench) = Bench::new("").await else { return };
    let touch = ["sh", "-c", "[ -e /sandbox/old ] && exit 9; touch /sandbox/old; exec sleep 300"];
    bench.driver.create(&request("anew", &touch)).await.expect("create");
    let made = bench.until("anew", "Running").await;
    let name = &made.status.sandbox_name;
    // As far as a gateway gets that is killed in the middle: a record that says so, and a claim.
    let (configs, pods): (Api<ConfigMap>, Api<Pod>) = (bench.api(), bench.api());
    let patch = json!({ "metadata": { "annotations": { "openshell.ai/wanted": "making" } } });
    configs.patch(name, &Default::default(), &kube::api::Patch::Merge(&patch)).await.expect("a patch");
    // With its pod all was made, and only that was not noted.
    let error = bench.driver.create(&request("anew", &touch)).await.expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(bench.driver.get(&sandbox_id("anew")).await.expect("a sandbox"), made);
    configs.patch(name, &Default::default(), &kube::api::Patch::Merge(&patch)).await.expect("a patch");
    let now = kube::api::DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
    pods.delete(name, &now).await.expect("no pod");
    assert_eq!(
        ready(&bench.driver.get(&sandbox_id("anew")).await.expect("a sandbox")).reason,
        "Provisioning"
    );
    bench.driver.create(&request("anew", &touch)).await.expect("create");
    let again = bench.until("anew", "Running").await;
    assert_ne!(again.status.instance_id, made.status.instance_id);
    assert!(bench.driver.delete(&sandbox_id("anew")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_claim_is_no_new_sandbox_s_workspace() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("old", &["sleep", "300"])).await.expect("create");
    let name = bench.name("old").await;
    let claims: Api<PersistentVolumeClaim> = bench.api();
    let mut left = claims.get(&name).await.expect("a claim");
    bench.driver.delete(&sandbox_id("old")).await.expect("delete");
    left.metadata.resource_version = None;
    left.metadata.uid = None;
    left.metadata.owner_references = None;
    left.metadata
        .annotations
        .as_mut()
        .expect("annotations")
        .retain(|key, _| key.starts_with("openshell.ai/"));
    left.spec.as_mut().expect("a spec").volume_name = None;
    let left = claims.create(&PostParams::default(), &left).await.expect("a claim that was left");
    bench.driver.create(&request("old", &["sleep", "300"])).await.expect("create");
    assert_ne!(uid(&claims.get(&name).await.expect("a claim")), uid(&left));
    bench.until("old", "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_a_stranger_s_is_left_alone() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("strange", &["sleep", "300"])).await.expect("create");
    let name = bench.name("strange").await;
    bench.driver.delete(&sandbox_id("strange")).await.expect("delete");
    let strange = json!({ "metadata": { "name": name }, "data": { "of": "somebody" } });
    let strange: ConfigMap = serde_json::from_value(strange).expect("a config map");
    let configs: Api<ConfigMap> = bench.api();
    let made = configs.create(&PostParams::default(), &strange).await.expect("a config map");
    let error = bench.driver.create(&request("strange", &["true"])).await.expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    assert!(!bench.driver.delete(&sandbox_id("strange")).await.expect("delete"));
    assert_eq!(uid(&configs.get(&name).await.expect("still there")), uid(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_command_is_a_shell_that_waits() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("shell", &[])).await.expect("create");
    let before = bench.until("shell", "Running").await;
    let id = sandbox_id("shell");
    bench.driver.stop(&id).await.expect("stop");
    bench.driver.start(&id).await.expect("start");
    let after = bench.until("shell", "Running").await;
    assert_ne!(after.status.instance_id, before.status.instance_id);
    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_in_its_secret_and_nowhere_else() {
    let Some(bench) = Bench::new("").await else { return };
    let mut wanted =
        request("token", &["sh", "-c", "[ \"$(cut -c1-3 /run/openshell/token)\" = s3c ] && exec sleep 300"]);
    wanted.spec.token = Token::new("s3cret");
    bench.driver.create(&wanted).await.expect("create");
    bench.until("token", "Running").await;
    let name = bench.name("token").await;
    let (pods, configs, secrets): (Api<Pod>, Api<ConfigMap>, Api<Secret>) =
        (bench.api(), bench.api(), bench.api());
    let shown = format!("{:?} {:?}", pods.get(&name).await, configs.get(&name).await);
    assert!(shown.contains(labels::SANDBOX_ID) && !shown.contains("s3cret"));
    assert!(secrets.get(&name).await.is_ok());
    // It is there again after a stop, which keeps the secret.
    bench.driver.stop(&sandbox_id("token")).await.expect("stop");
    bench.driver.start(&sandbox_id("token")).await.expect("start");
    bench.until("token", "Running").await;
    assert!(bench.driver.delete(&sandbox_id("token")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}
