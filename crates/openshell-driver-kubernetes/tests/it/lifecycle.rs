//! Create, stop, start, delete, list; and that each may be said twice.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, PostParams, PropagationPolicy};
use kube::core::ObjectMeta;
use openshell_driver_api::conditions::{SUSPENDED, find};
use openshell_driver_api::{ConditionStatus, ErrorKind};
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, PATIENCE, ready, request, sandbox_id};

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_keeps_the_workspace_until_the_end() {
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("life");
    let script = "[ -e /sandbox/was-here ] && exit 7; touch /sandbox/was-here && exec sleep 300";
    let before = bench.leftovers().await;
    bench.driver.create(&request("life", &["sh", "-c", script])).await.expect("create");
    let first = bench.until("life", "Running").await;
    assert_eq!((first.name.as_str(), first.workspace.as_str()), ("name-of-life", "default"));
    assert_eq!(first.namespace, bench.namespace);
    assert!(!first.status.instance_id.is_empty());

    bench.driver.stop(&id).await.expect("stop");
    let stopped = bench.driver.get(&id).await.expect("a sandbox");
    assert_eq!(ready(&stopped).reason, "Stopped");
    let suspended = find(&stopped.status.conditions, SUSPENDED).map(|condition| condition.status);
    assert_eq!(suspended, Some(ConditionStatus::True));
    assert_eq!(bench.driver.list().await.expect("a list"), [stopped]);

    bench.driver.start(&id).await.expect("start");
    let exited = bench.until("life", "ContainerExited").await;
    let message = &ready(&exited).message;
    assert!(message.contains("exit code 7"), "the second run found what the first wrote: {message}");
    assert_ne!(exited.status.instance_id, first.status.instance_id, "another pod");

    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, before);
    assert!(!bench.driver.delete(&id).await.expect("delete again"));
    assert_eq!(bench.driver.get(&id).await.expect_err("gone").kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_may_be_said_twice() {
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("twice");
    for operation in [bench.driver.stop(&id).await, bench.driver.start(&id).await] {
        assert_eq!(operation.expect_err("nothing there").kind(), ErrorKind::NotFound);
    }
    bench.driver.create(&request("twice", &["sleep", "300"])).await.expect("create");
    bench.driver.start(&id).await.expect("start what is about to run");
    let first = bench.until("twice", "Running").await;
    bench.driver.start(&id).await.expect("start what runs");
    assert_eq!(bench.driver.get(&id).await.expect("a sandbox"), first, "the same pod");
    for _ in 0..2 {
        bench.driver.stop(&id).await.expect("stop");
        assert_eq!(ready(&bench.driver.get(&id).await.expect("a sandbox")).reason, "Stopped");
    }
    // What was stopped is so for a gateway that starts after it, too.
    let reopened = bench.reopen().await;
    assert_eq!(ready(&reopened.get(&id).await.expect("a sandbox")).reason, "Stopped");
    for _ in 0..2 {
        reopened.start(&id).await.expect("start");
    }
    bench.until("twice", "Running").await;
    let deletes = tokio::join!(bench.driver.delete(&id), bench.driver.delete(&id));
    let deletes = [deletes.0.expect("delete"), deletes.1.expect("delete")];
    assert_eq!(deletes.iter().filter(|deleted| **deleted).count(), 1);
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_claim_a_stopped_sandbox_is_remembered_all_the_same() {
    let Some(bench) = Bench::new("ephemeral = true").await else { return };
    let id = sandbox_id("short");
    bench.driver.create(&request("short", &["sleep", "300"])).await.expect("create");
    bench.until("short", "Running").await;
    assert!(!bench.leftovers().await.iter().any(|left| left.starts_with("claim")));
    bench.driver.stop(&id).await.expect("stop");
    assert_eq!(ready(&bench.driver.get(&id).await.expect("a sandbox")).reason, "Stopped");
    bench.driver.start(&id).await.expect("start");
    bench.until("short", "Running").await;
    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_somebody_removes_is_an_end_and_a_start_makes_it_again() {
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("hand");
    bench.driver.create(&request("hand", &["sleep", "300"])).await.expect("create");
    let before = bench.until("hand", "Running").await;
    let pods: Api<Pod> = bench.api();
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete(&before.status.sandbox_name, &now).await.expect("somebody's delete");
    let seen = bench.until("hand", "ContainerExited").await;
    assert!(ready(&seen).message.contains("a start makes it again"), "{seen:?}");
    bench.driver.start(&id).await.expect("start");
    let after = bench.until("hand", "Running").await;
    assert_ne!(after.status.instance_id, before.status.instance_id);
    // The record takes all the rest along: that is who owns it.
    let configs: Api<ConfigMap> = bench.api();
    configs
        .delete(&before.status.sandbox_name, &DeleteParams::background())
        .await
        .expect("somebody's delete");
    assert_eq!(bench.driver.get(&id).await.expect_err("gone").kind(), ErrorKind::NotFound);
    let deadline = Instant::now() + PATIENCE;
    let going = async || {
        let pod = pods.get_opt(&before.status.sandbox_name).await.expect("an answer");
        pod.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
    };
    while !going().await {
        assert!(Instant::now() < deadline, "{:?}", bench.leftovers().await);
        sleep(Duration::from_millis(200)).await;
    }
    // A kubelet may take its time, which a delete does not wait for.
    bench.driver.delete(&id).await.expect("delete");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_without_its_record_goes_with_a_delete() {
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("orphan");
    bench.driver.create(&request("orphan", &["sleep", "300"])).await.expect("create");
    let name = bench.name("orphan").await;
    let configs: Api<ConfigMap> = bench.api();
    let orphans =
        DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    configs.delete(&name, &orphans).await.expect("somebody's delete");
    assert!(bench.driver.delete(&id).await.expect("delete"), "something was there");
    assert!(!bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_for_each_workspace() {
    let Some(bench) = Bench::new("namespace_template = 'it-ws-{workspace}'").await else { return };
    let workspace = format!("w{}", std::process::id());
    let namespaces: Api<Namespace> = Api::all(bench.client.clone());
    let name = format!("it-ws-{workspace}");
    for _ in 0..2 {
        bench.driver.ensure_workspace(&workspace).await.expect("a workspace");
    }
    let mut wanted = request("apart", &["sleep", "300"]);
    wanted.workspace.clone_from(&workspace);
    bench.driver.create(&wanted).await.expect("create");
    let seen = bench.until("apart", "Running").await;
    assert_eq!(seen.namespace, name);
    assert_eq!(bench.driver.list().await.expect("a list").len(), 1);
    let id = sandbox_id("apart");
    bench.driver.stop(&id).await.expect("stop");
    bench.driver.start(&id).await.expect("start");
    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert!(!bench.driver.delete(&id).await.expect("delete"));
    for _ in 0..2 {
        bench.driver.delete_workspace(&workspace).await.expect("no workspace");
    }
    assert!(namespaces.get_opt(&name).await.expect("an answer").is_none());
    // A namespace of that name that somebody else has made is neither used nor removed.
    let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
    let strange = Namespace { metadata, ..Namespace::default() };
    namespaces.create(&PostParams::default(), &strange).await.expect("a namespace");
    let error = bench.driver.create(&wanted).await.expect_err("not ours");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("kubectl label namespace")), "{error:?}");
    bench.driver.delete_workspace(&workspace).await.expect("nothing of ours");
    assert!(namespaces.get_opt(&name).await.expect("an answer").is_some());
    namespaces.delete(&name, &DeleteParams::default()).await.expect("a clean-up");
}
