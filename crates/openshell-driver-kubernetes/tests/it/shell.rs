//! Sandboxes that name no command, on the server that is made up (`fake.rs`): what their images bring is said by hand.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::bench::{PATIENCE, ready, request, sandbox_id};
use crate::fake::Fake;

/// At once, for what would otherwise wait for an image.
const SOON: Duration = Duration::from_secs(30);

/// The kubelet says that the image brings no command.
fn lacks(fake: &Fake) {
    let mut world = fake.world();
    let mut pod = world.only("pods");
    pod["status"] = json!({ "phase": "Pending", "containerStatuses": [{ "name": "sandbox", "ready": false,
        "restartCount": 0, "image": "", "imageID": "", "state": { "waiting": {
        "reason": "CreateContainerError", "message": "Error response from daemon: No command specified" } } }] });
    world.put("pods", pod);
}

fn command(fake: &Fake) -> Value {
    let world = fake.world();
    let pod = world.objects.iter().find(|((kind, _), _)| kind == "pods").map(|(_, pod)| pod.clone());
    pod.map(|pod| pod["spec"]["containers"][0]["command"].clone()).unwrap_or_default()
}

async fn has_shell(fake: &Fake) {
    let deadline = Instant::now() + PATIENCE;
    while command(fake) != json!(["/bin/sh"]) {
        assert!(Instant::now() < deadline, "{:?}", fake.world().log);
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_an_image_to_say_what_it_brings() {
    let fake = Fake::new("").await;
    let id = sandbox_id("one");
    // The fake's pods never get further than this, so whoever waits for one waits long.
    timeout(SOON, fake.driver.create(&request("one", &[]))).await.expect("no wait").expect("create");
    assert_eq!(command(&fake), Value::Null);
    lacks(&fake);
    has_shell(&fake).await;
    timeout(SOON, fake.driver.stop(&id)).await.expect("no wait").expect("stop");
    fake.driver.start(&id).await.expect("start");
    assert_eq!(command(&fake), json!(["/bin/sh"]), "it is remembered");
    assert!(fake.driver.delete(&id).await.expect("delete"));
    for end in ["stop", "delete"] {
        timeout(SOON, fake.driver.create(&request("one", &[]))).await.expect("no wait").expect("create");
        match end {
            "stop" => timeout(SOON, fake.driver.stop(&id)).await.expect("no wait").expect("stop"),
            _ => assert!(timeout(SOON, fake.driver.delete(&id)).await.expect("no wait").expect("delete")),
        }
        fake.driver.delete(&id).await.expect("delete");
    }
    assert!(fake.world().objects.is_empty(), "{:?}", fake.world().objects.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_sees_to_the_command_as_a_create_does() {
    let fake = Fake::new("").await;
    let id = sandbox_id("one");
    fake.driver.create(&request("one", &[])).await.expect("create");
    // Before anything is known of the image.
    fake.driver.stop(&id).await.expect("stop");
    timeout(SOON, fake.driver.start(&id)).await.expect("no wait").expect("start");
    lacks(&fake);
    has_shell(&fake).await;

    // As a gateway leaves it that ends before the node said so: nobody sees to it but the next start.
    fake.driver.delete(&id).await.expect("delete");
    fake.driver.create(&request("one", &[])).await.expect("create");
    let pod = fake.world().only("pods");
    fake.driver.stop(&id).await.expect("stop");
    {
        let mut world = fake.world();
        let mut record = world.only("configmaps");
        record["metadata"]["annotations"]["openshell.ai/wanted"] = json!("starting");
        world.put("configmaps", record);
        world.put("pods", pod);
    }
    lacks(&fake);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(command(&fake), Value::Null);
    fake.driver.start(&id).await.expect("start");
    has_shell(&fake).await;
    assert_ne!(ready(&fake.driver.get(&id).await.expect("a sandbox")).reason, "ContainerCreateFailed");
}
