//! A container that somebody removes by hand leaves neither volume nor secret nor network behind.

use openshell_driver_api::{ErrorKind, Secret, WatchEvent};
use serde_json::{Value, json};

use crate::bench::{Bench, labels_of, read_until, sandbox_id, waiting};

async fn remove_by_hand(bench: &Bench, id: &str) {
    let path = format!("/containers/{}?force=true&timeout=0", bench.container(id).await);
    let (status, answer) = bench.api.call("DELETE", &path, None).await.expect("an answer");
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
}

/// A sandbox that has all that one can have.
async fn make(bench: &Bench, id: &str) {
    let mut request = waiting(id);
    request.spec.token = Secret::new("s3cret");
    bench.driver.create(&request).await.expect("create");
}

#[tokio::test]
async fn the_watch_sees_to_it() {
    let Some(bench) = Bench::new("").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    make(&bench, "watched").await;
    make(&bench, "stays").await;
    remove_by_hand(&bench, "watched").await;
    read_until(&mut events, |event| *event == WatchEvent::Deleted(sandbox_id("watched"))).await;
    assert!(bench.driver.delete(&sandbox_id("stays")).await.expect("delete"));
    bench.until_nothing_is_left().await;
}

#[tokio::test]
async fn the_list_sees_to_it_and_touches_nobody_else_s() {
    let (Some(bench), Some(other)) = (Bench::new("").await, Bench::new("").await) else { return };
    make(&bench, "listed").await;
    make(&bench, "stays").await;
    other.driver.create(&waiting("listed")).await.expect("create");
    // As it is when the end came between the making of a secret and that of a container.
    let secret = format!("openshell-{}.half", openshell_driver_common::names::digest(&bench.gateway_id));
    let made = bench.api.call("POST", &format!("/secrets/create?name={secret}"), Some(&json!("x"))).await;
    assert_eq!(made.map(|(status, _)| status), Some(200));
    remove_by_hand(&bench, "listed").await;
    let before = other.leftovers().await;
    let listed = bench.driver.list().await.expect("a list");
    assert_eq!(listed.iter().map(|sandbox| sandbox.id.as_str()).collect::<Vec<_>>(), ["stays"]);
    let kept =
        |left: &[String]| left.iter().all(|path| path.contains(".stays") || path.contains("/containers/"));
    let deadline = tokio::time::Instant::now() + crate::bench::PATIENCE;
    while !kept(&bench.leftovers().await) {
        assert!(tokio::time::Instant::now() < deadline, "left: {:?}", bench.leftovers().await);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(bench.leftovers().await.len(), 3, "a container, its volume and its network stay");
    assert_eq!(other.leftovers().await, before);
}

/// The name of its secret does not tell whose it is, and services before 4.6 keep no labels of one: what else there is does.
#[tokio::test]
async fn a_secret_of_a_long_id_goes_with_the_rest() {
    let Some(bench) = Bench::new("").await else { return };
    let long = "l".repeat(60);
    let labels = labels_of(&bench.gateway_id, &long);
    let volume = format!("openshell-{}.{long}.workspace", bench.gateway_id);
    bench.api.post("/volumes/create", &json!({"Name": volume, "Labels": labels})).await;
    let digest = openshell_driver_common::names::digest;
    let secret = format!("openshell-{}.{}.long", digest(&bench.gateway_id), digest(&long));
    let made = bench.api.call("POST", &format!("/secrets/create?name={secret}"), Some(&json!("x"))).await;
    assert_eq!(made.map(|(status, _)| status), Some(200));
    assert_eq!(bench.leftovers().await.len(), 2);
    assert_eq!(bench.driver.list().await.expect("a list"), []);
    bench.until_nothing_is_left().await;
}

#[tokio::test]
async fn the_delete_sees_to_it() {
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("deleted");
    make(&bench, "deleted").await;
    remove_by_hand(&bench, "deleted").await;
    assert_eq!(bench.driver.get(&id).await.expect_err("no container").kind(), ErrorKind::NotFound);
    assert!(bench.driver.delete(&id).await.expect("delete"), "something was there");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
    assert!(!bench.driver.delete(&id).await.expect("delete"));
}

#[tokio::test]
async fn what_an_earlier_sandbox_left_does_not_become_the_next_one_s() {
    let Some(bench) = Bench::new("").await else { return };
    // A workspace with something in it, and a container that was never started: a gateway was killed in the middle.
    let volume = format!("openshell-{}.anew.workspace", bench.gateway_id);
    let labels = labels_of(&bench.gateway_id, "anew");
    bench.api.post("/volumes/create", &json!({"Name": volume, "Labels": labels})).await;
    let half = json!({
        "name": format!("openshell-{}.anew", bench.gateway_id),
        "image": crate::bench::image(),
        "command": ["true"],
        "labels": labels,
        "volumes": [{"Name": volume, "Dest": "/sandbox"}],
    });
    let left = bench.api.post("/containers/create", &half).await;
    bench.driver.create(&waiting("anew")).await.expect("create");
    let made = bench.until("anew", "Running").await;
    assert_ne!(Value::from(made.status.instance_id), left["Id"]);
    assert!(bench.driver.delete(&sandbox_id("anew")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

/// What the end of a gateway's process may leave of a create: the container that is looked into for the image's users.
#[tokio::test]
async fn a_helper_that_was_left_alone_is_swept() {
    let Some(bench) = Bench::new("").await else { return };
    let helper = json!({
        "name": format!("openshell-{}.half.files", bench.gateway_id),
        "image": crate::bench::image(),
        "command": ["true"],
        "labels": labels_of(&bench.gateway_id, "half"),
    });
    bench.api.post("/containers/create", &helper).await;
    assert_eq!(bench.driver.list().await.expect("a list"), [], "it is no sandbox");
    bench.until_nothing_is_left().await;
}
