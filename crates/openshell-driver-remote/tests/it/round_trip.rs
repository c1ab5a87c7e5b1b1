//! Every method over a socket, and every value of its messages.

use std::collections::BTreeMap;

use openshell_driver_api::{
    ComputeDriver, ErrorKind, GpuRequest, ListenerRequirement, Resources, SandboxRequest, SandboxSpec,
    Secret, Template,
};
use openshell_driver_remote::ServeOptions;
use serde_json::{Map, Value, json};

use crate::fake::{Fake, observed};
use crate::support::{dial, id, place, serve_at};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn map(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

/// A request in which every field differs from its default.
fn full(name: &str) -> SandboxRequest {
    SandboxRequest {
        id: id(name),
        name: "n".to_owned(),
        namespace: "ns".to_owned(),
        workspace: "w".to_owned(),
        spec: SandboxSpec {
            log_level: "debug".to_owned(),
            environment: map("A", "1"),
            template: Template {
                image: "image".to_owned(),
                agent_socket_path: "/a".to_owned(),
                labels: map("l", "2"),
                environment: map("B", "3"),
                resources: Resources {
                    cpu_request: "1".to_owned(),
                    cpu_limit: "2".to_owned(),
                    memory_request: "1Gi".to_owned(),
                    memory_limit: "2Gi".to_owned(),
                },
                platform_config: object(json!({"a": [1, null, {"b": true}]})),
                driver_config: object(json!({"c": "d", "e": 1.5})),
            },
            gpu: Some(GpuRequest { count: Some(2) }),
            token: Secret::new("s3cret"),
            command: vec!["sh".to_owned(), "-c".to_owned(), String::new()],
            tty: true,
        },
    }
}

#[tokio::test]
async fn what_is_asked_for_arrives_whole() {
    let (_home, path) = place();
    let fake = Fake::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let remote = dial(&path).await;
    let mut bare = full("bare");
    bare.spec = SandboxSpec::default();
    let mut some_gpu = full("some-gpu");
    some_gpu.spec.gpu = Some(GpuRequest { count: None });
    for request in [full("a"), bare, some_gpu] {
        remote.validate_create(&request).await.expect("validate");
        remote.create(&request).await.expect("create");
        let seen = std::mem::take(&mut fake.state().requests);
        assert_eq!(seen, [request.clone(), request]);
    }
    let error = remote.create(&full("a")).await.expect_err("the second create");
    assert_eq!((error.kind(), error.message()), (ErrorKind::AlreadyExists, "`a` is there"));
    served.stop().await;
}

#[tokio::test]
async fn what_is_reported_arrives_whole() {
    let (_home, path) = place();
    let fake = Fake::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let remote = dial(&path).await;
    assert_eq!(remote.list().await.expect("list"), []);
    fake.add("a", "n");
    fake.add("b", "n");
    assert_eq!(remote.list().await.expect("list"), [observed("a", "n"), observed("b", "n")]);
    assert_eq!(remote.get(&id("a")).await.expect("get"), observed("a", "n"));
    assert_eq!(remote.get(&id("c")).await.expect_err("none").kind(), ErrorKind::NotFound);

    remote.stop(&id("a")).await.expect("stop");
    assert_eq!(fake.state().sandboxes["a"].status.conditions[0].reason, "Stopped");
    remote.start(&id("a")).await.expect("start");
    assert_eq!(fake.state().sandboxes["a"].status.conditions[0].reason, "Started");
    assert!(remote.delete(&id("a")).await.expect("delete"));
    assert!(!remote.delete(&id("a")).await.expect("delete again"));

    remote.ensure_workspace("w").await.expect("ensure");
    remote.delete_workspace("w").await.expect("delete");
    assert_eq!(fake.state().workspaces, ["+w", "-w"]);

    let requirements = remote.listener_requirements().await.expect("requirements");
    assert!(
        matches!(&requirements[0], ListenerRequirement::Exact { address, .. } if address == "10.0.0.1:1")
    );
    assert!(matches!(
        requirements[1..],
        [ListenerRequirement::DefaultRoute { .. }, ListenerRequirement::Loopback { .. }]
    ));

    let capabilities = remote.capabilities().await.expect("capabilities");
    assert_eq!(capabilities, fake.capabilities().await.expect("in process"));
    served.stop().await;
}

#[tokio::test]
async fn every_kind_of_error_arrives_as_it_is() {
    let (_home, path) = place();
    let fake = Fake::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let remote = dial(&path).await;
    for kind in ErrorKind::ALL {
        fake.state().fails = Some(kind);
        let error = remote.stop(&id("a")).await.expect_err("told to fail");
        assert_eq!((error.kind(), error.message()), (kind, "`it` cannot be done"));
        let error = remote.watch().await.err().expect("told to fail");
        assert_eq!(error.kind(), kind);
    }
    served.stop().await;
}

#[tokio::test]
async fn the_reason_of_a_failed_create_arrives() {
    let (_home, path) = place();
    let fake = Fake::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let remote = dial(&path).await;
    fake.state().fails = Some(ErrorKind::FailedPrecondition);
    // One that is no end is the driver's mistake, and none.
    for (given, arrives) in
        [(None, None), (Some("ImagePullFailed"), Some("ImagePullFailed")), (Some("Starting"), None)]
    {
        fake.state().reason = given;
        assert_eq!(remote.create(&full("a")).await.expect_err("told to fail").reason(), arrives);
        assert_eq!(remote.start(&id("a")).await.expect_err("told to fail").reason(), arrives);
    }
    served.stop().await;
}

#[tokio::test]
async fn what_a_driver_lacks_is_said_and_not_glossed_over() {
    let (_home, path) = place();
    let fake = Fake::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let remote = dial(&path).await;
    fake.state().fails = Some(ErrorKind::Unimplemented);
    let answers = [
        remote.ensure_workspace("w").await,
        remote.delete_workspace("w").await,
        remote.listener_requirements().await.map(drop),
        remote.start(&id("a")).await,
        remote.stop(&id("a")).await,
    ];
    for answer in answers {
        assert_eq!(answer.expect_err("an honest no").kind(), ErrorKind::Unimplemented);
    }
    served.stop().await;
}

#[tokio::test]
async fn a_panic_in_the_driver_is_one_failed_request() {
    let (_home, path) = place();
    let fake = Fake::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let remote = dial(&path).await;
    fake.state().panics = true;
    let error = remote.list().await.expect_err("a panic");
    assert_eq!(error.kind(), ErrorKind::Internal);
    fake.state().panics = false;
    remote.list().await.expect("it goes on");
    served.stop().await;
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_by_the_side_that_reads_it() {
    let (_home, path) = place();
    let fake = Fake::new();
    let options = ServeOptions { max_message: 64 * 1024, ..ServeOptions::default() };
    let served = serve_at(&path, &fake, options);
    let remote = dial(&path).await;
    let mut request = full("a");
    request.spec.command = vec!["x".repeat(128 * 1024)];
    let error = remote.create(&request).await.expect_err("a giant");
    assert!(!error.kind().is_retryable(), "{error:?}");
    assert!(error.message().contains("too large"), "{error}");
    assert!(!error.to_string().contains("s3cret"));
    assert!(fake.state().sandboxes.is_empty());
    remote.list().await.expect("the connection goes on");
    served.stop().await;
}
