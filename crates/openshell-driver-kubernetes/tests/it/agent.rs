//! The workload "agent-sandbox". No cluster for tests has its controller, so there is a stand-in: the server that is made
//! up (`fake.rs`), and a loop on its objects that makes and removes pods and claims as that controller does. What it shows
//! is the driver's side of that API, not the controller's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openshell_driver_api::{ErrorKind, Secret, WatchEvent};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bench::{read_until, ready, request, sandbox_id, tells};
use crate::fake::{Fake, World};

const CONFIG: &str = "workload = 'agent-sandbox'";

/// The stand-in for the controller. Its pods run until their container's command says `exit`.
async fn control(world: Arc<Mutex<World>>) {
    loop {
        reconcile(&mut world.lock().unwrap_or_else(PoisonError::into_inner));
        sleep(Duration::from_millis(20)).await;
    }
}

fn of(world: &World, kind: &str) -> Vec<Value> {
    world.objects.iter().filter(|((of, _), _)| of == kind).map(|(_, object)| object.clone()).collect()
}

fn reconcile(world: &mut World) {
    let objects = of(world, "sandboxes");
    for object in &objects {
        let (name, spec) = (object["metadata"]["name"].as_str().unwrap_or_default(), &object["spec"]);
        let wanted = spec["operatingMode"] != "Suspended" && spec["replicas"] != 0;
        let there = |kind: &str, name: &str| world.objects.contains_key(&(kind.to_owned(), name.to_owned()));
        let owner = json!([{ "uid": object["metadata"]["uid"] }]);
        let mut made = Vec::new();
        for template in spec["volumeClaimTemplates"].as_array().into_iter().flatten() {
            let claim = format!("{}-{name}", template["metadata"]["name"].as_str().unwrap_or_default());
            let mut object = template.clone();
            object["metadata"]["name"] = json!(claim);
            object["metadata"]["ownerReferences"] = owner.clone();
            if !there("persistentvolumeclaims", &claim) {
                made.push(("persistentvolumeclaims", object));
            }
        }
        let is_there = there("pods", name);
        if wanted && !is_there {
            let mut pod = spec["podTemplate"].clone();
            let ends = pod["spec"]["containers"][0]["command"][0] == "exit";
            let state = match ends {
                true => json!({ "terminated": { "exitCode": 7, "reason": "Error" } }),
                false => json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } }),
            };
            pod["metadata"]["name"] = json!(name);
            pod["metadata"]["ownerReferences"] = owner;
            pod["status"] = json!({ "phase": if ends { "Failed" } else { "Running" }, "containerStatuses": [{
                "name": "sandbox", "ready": !ends, "restartCount": 0, "image": "", "imageID": "", "state": state }] });
            made.push(("pods", pod));
        }
        if !wanted && is_there {
            world.remove("pods", name);
        }
        for (kind, object) in made {
            world.put(kind, object);
        }
    }
    // What the cluster's own collector does for owners that are gone.
    let uids: Vec<&Value> = objects.iter().map(|object| &object["metadata"]["uid"]).collect();
    for kind in ["pods", "persistentvolumeclaims"] {
        for orphan in of(world, kind) {
            if !uids.contains(&&orphan["metadata"]["ownerReferences"][0]["uid"]) {
                world.remove(kind, orphan["metadata"]["name"].as_str().unwrap_or_default());
            }
        }
    }
}

async fn lives(served: &[&'static str], version: &str) {
    let fake = Fake::serving(CONFIG, served).await.unwrap_or_else(|error| panic!("a driver: {error:?}"));
    let controller = tokio::spawn(control(Arc::clone(&fake.world)));
    let capabilities = fake.driver.capabilities().await.expect("capabilities");
    assert!(capabilities.driver_version.contains(&format!("agents.x-k8s.io/{version}")), "{capabilities:?}");
    let id = sandbox_id("agent");
    let mut events = fake.driver.watch().await.expect("a watch");
    let mut wanted = request("agent", &["sleep", "300"]);
    wanted.spec.token = Secret::new("s3cret");
    fake.driver.create(&wanted).await.expect("create");
    assert_eq!(fake.driver.create(&wanted).await.expect_err("taken").kind(), ErrorKind::AlreadyExists);
    let seen = read_until(&mut events, |event| tells(event, "agent", "Running")).await;
    assert!(!seen.iter().any(|event| tells(event, "agent", "ContainerExited")), "{seen:#?}");
    // Nothing had the pod made before its secret was there, and the secret is the object's to take along.
    let secret = of(&fake.world(), "secrets").pop().expect("a secret");
    let object = of(&fake.world(), "sandboxes").pop().expect("an object");
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], object["metadata"]["uid"]);
    let name = object["metadata"]["name"].as_str().expect("a name");
    let posts: Vec<String> =
        fake.world().log.iter().filter(|line| line.starts_with("POST")).cloned().collect();
    assert!(posts[0].contains(&format!("/agents.x-k8s.io/{version}/namespaces/fake/sandboxes")), "{posts:?}");
    assert!(!posts.iter().any(|line| line.contains("/pods") || line.contains("/configmaps")), "{posts:?}");
    assert!(!object.to_string().contains("s3cret"));
    assert!(
        of(&fake.world(), "persistentvolumeclaims")
            .iter()
            .any(|claim| claim["metadata"]["name"] == format!("workspace-{name}"))
    );
    for _ in 0..2 {
        fake.driver.stop(&id).await.expect("stop");
        assert_eq!(ready(&fake.driver.get(&id).await.expect("a sandbox")).reason, "Stopped");
    }
    assert_eq!(of(&fake.world(), "persistentvolumeclaims").len(), 1, "the workspace is kept");
    read_until(&mut events, |event| tells(event, "agent", "Stopped")).await;
    for _ in 0..2 {
        fake.driver.start(&id).await.expect("start");
    }
    read_until(&mut events, |event| tells(event, "agent", "Running")).await;
    assert!(fake.driver.delete(&id).await.expect("delete"));
    assert!(!fake.driver.delete(&id).await.expect("delete"));
    read_until(&mut events, |event| matches!(event, WatchEvent::Deleted(gone) if *gone == id)).await;
    assert!(fake.world().objects.is_empty(), "{:?}", fake.world().objects.keys());

    // A pod that ended has to go before there can be another.
    fake.driver.create(&request("agent", &["exit"])).await.expect("create");
    read_until(&mut events, |event| tells(event, "agent", "ContainerExited")).await;
    let before = fake.driver.get(&id).await.expect("a sandbox").status.instance_id;
    fake.driver.start(&id).await.expect("start");
    let after = read_until(
        &mut events,
        |event| matches!(event, WatchEvent::Sandbox(seen) if !seen.status.instance_id.is_empty() && seen.status.instance_id != before),
    );
    after.await;
    assert!(fake.driver.delete(&id).await.expect("delete"));
    assert!(fake.world().objects.is_empty(), "{:?}", fake.world().objects.keys());
    controller.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_in_the_newer_version() {
    lives(&["v1beta1", "v1alpha1"], "v1beta1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_in_the_older_version() {
    lives(&["v1alpha1"], "v1alpha1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_it() {
    let Err(error) = Fake::serving(CONFIG, &[]).await else { panic!("there is no such API") };
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    assert!(error.message().contains("agents.x-k8s.io"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("workload = \"pod\"")), "{error:?}");
}
