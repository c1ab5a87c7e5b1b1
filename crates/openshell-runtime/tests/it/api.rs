//! The API over a real socket: what each method says when all is well.

use std::collections::BTreeMap;

use openshell_driver_api::ErrorKind;
use openshell_proto::openshell::v1::{self as proto, SandboxPhase, ServiceStatus};

use crate::client::{gateway, id_of, name_of, phase_of, ready_of};
use crate::fake::{Fake, Script};

#[tokio::test]
async fn a_life() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let created = gateway.create("one").await;
    let metadata = created.metadata.clone().unwrap();
    assert_eq!(phase_of(&created), SandboxPhase::Provisioning);
    assert_eq!((metadata.id.len(), metadata.workspace.as_str()), (36, "default"));
    assert!(metadata.created_at_ms > 1_600_000_000_000);
    assert_eq!(ready_of(&created).0, "Provisioning");

    let ready = gateway.until("one", SandboxPhase::Ready).await;
    let status = ready.status.clone().unwrap();
    assert_eq!((status.sandbox_name.as_str(), status.agent_pod.as_str()), ("fake-one", "i-1"));
    let metadata_now = ready.metadata.unwrap();
    assert!(metadata_now.resource_version > metadata.resource_version);
    assert_eq!(
        (metadata_now.name.as_str(), metadata_now.workspace.as_str()),
        ("one", "default"),
        "never the backend's"
    );

    gateway.stop_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Stopped).await;
    gateway.stop_sandbox("one").await.unwrap();
    assert_eq!(fake.calls("stop", &metadata.id), 1, "already there");
    gateway.start_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Ready).await;
    gateway.start_sandbox("one").await.unwrap();
    assert_eq!(fake.calls("start", &metadata.id), 1, "already there");
    assert!(gateway.delete("one").await.unwrap());
    gateway.until_gone("one").await;
    assert!(!fake.has(&metadata.id));
    assert_eq!(gateway.delete("one").await.unwrap_err().code(), tonic::Code::NotFound);
    let again = gateway.create("one").await;
    assert_ne!(id_of(&again), metadata.id);
}

#[tokio::test]
async fn what_was_asked_for_comes_back_and_goes_to_the_driver() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let spec = proto::SandboxSpec {
        log_level: "debug".to_owned(),
        environment: map("A", "1"),
        template: Some(proto::SandboxTemplate {
            image: "img".to_owned(),
            agent_socket: "/run/a.sock".to_owned(),
            runtime_class_name: "gvisor".to_owned(),
            ..Default::default()
        }),
        policy: Some(b"\x08\x96\x01\xfa\x3f\x01x".to_vec().into()),
        resource_requirements: Some(proto::ResourceRequirements {
            gpu: Some(proto::GpuResourceRequirements { count: Some(2) }),
        }),
        command: vec!["sleep".to_owned(), "300".to_owned(), String::new()],
        tty: true,
        ..Default::default()
    };
    let request = proto::CreateSandboxRequest {
        spec: Some(spec.clone()),
        labels: map("team", "a"),
        annotations: map("any.thing/x", "at all: \"ü\""),
        ..Default::default()
    };
    let created = gateway.client.create_sandbox(request).await.unwrap().into_inner().sandbox.unwrap();
    let (name, id) = (name_of(&created), id_of(&created));
    let ready = gateway.until(&name, SandboxPhase::Ready).await;
    assert_eq!(ready.spec, Some(spec.clone()));
    let metadata = ready.metadata.unwrap();
    assert_eq!(
        (metadata.labels, metadata.annotations),
        (map("team", "a"), map("any.thing/x", "at all: \"ü\""))
    );
    let asked = fake.request(&id).unwrap();
    assert_eq!((asked.name.as_str(), asked.workspace.as_str()), (name.as_str(), "default"));
    assert_eq!(asked.spec.command, spec.command);
    assert_eq!((asked.spec.template.image.as_str(), asked.spec.tty), ("img", true));
    assert_eq!(asked.spec.gpu.unwrap().count, Some(2));
    assert_eq!(asked.spec.template.platform_config["runtime_class_name"], "gvisor");
    assert_eq!(asked.spec.template.agent_socket_path, "/run/a.sock");
}

#[tokio::test]
async fn health_and_info() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let health = gateway.client.health(proto::HealthRequest {}).await.unwrap().into_inner();
    assert_eq!((health.status(), health.version.as_str()), (ServiceStatus::Healthy, "9.9.9"));
    let info = gateway.client.get_gateway_info(proto::GetGatewayInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.status(), info.gateway_version.as_str()), (ServiceStatus::Healthy, "9.9.9"));
    let [driver] = info.compute_drivers.as_slice() else { panic!("one driver") };
    let capabilities = driver.capabilities.clone().unwrap();
    assert_eq!(driver.name, "fake", "the configured name routes");
    assert_eq!(
        (capabilities.driver_name.as_str(), capabilities.driver_version.as_str()),
        ("fake-for-people", "1.2.3")
    );
    // Without a watch the states may be old.
    fake.script("watch", std::iter::repeat_n(Script::Fail(ErrorKind::Unavailable, "away"), 10_000));
    fake.cut(None);
    while gateway.health().await != ServiceStatus::Degraded {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn lists_in_order_in_pages_and_by_labels() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    for number in 0..7 {
        let mut labels = BTreeMap::from([("number".to_owned(), number.to_string())]);
        labels.insert("parity".to_owned(), if number % 2 == 0 { "even" } else { "odd" }.to_owned());
        if number == 3 {
            labels.clear();
        }
        let request =
            proto::CreateSandboxRequest { name: format!("s{number}"), labels, ..Default::default() };
        gateway.client.create_sandbox(request).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let page = |limit, offset, selector: &str| proto::ListSandboxesRequest {
        limit,
        offset,
        label_selector: selector.to_owned(),
        ..Default::default()
    };
    for (request, expected) in [
        (page(0, 0, ""), "s0 s1 s2 s3 s4 s5 s6"),
        (page(2, 0, ""), "s0 s1"),
        (page(2, 6, ""), "s6"),
        (page(2, 7, ""), ""),
        (page(1000, u32::MAX, ""), ""),
        (page(0, 0, "parity=even"), "s0 s2 s4 s6"),
        (page(2, 1, "parity=even"), "s2 s4"),
        (page(0, 0, "parity!=even"), "s1 s3 s5"),
        (page(0, 0, "parity"), "s0 s1 s2 s4 s5 s6"),
        (page(0, 0, "parity=even,number!=4,number"), "s0 s2 s6"),
        (page(0, 0, "nothing"), ""),
        (proto::ListSandboxesRequest { all_workspaces: true, limit: 1, ..Default::default() }, "s0"),
        (
            proto::ListSandboxesRequest { workspace: "default".to_owned(), limit: 1, ..Default::default() },
            "s0",
        ),
    ] {
        assert_eq!(gateway.list(request.clone()).await.join(" "), expected, "{request:?}");
    }
}

#[tokio::test]
async fn names_are_made_for_whoever_gives_none() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let (first, second) = (gateway.create("").await, gateway.create("").await);
    assert_ne!(name_of(&first), name_of(&second));
    assert_eq!(name_of(&first).split('-').count(), 3);
}
