//! What is not served, and what is malformed.

use std::collections::BTreeMap;

use openshell_proto::openshell::v1 as proto;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

use crate::client::{Gateway, gateway};
use crate::fake::Fake;

/// Calls any path with an empty message.
async fn call(gateway: &Gateway, path: &'static str) -> Status {
    let mut grpc = Grpc::new(gateway.channel.clone());
    grpc.ready().await.expect("connected");
    let codec = tonic_prost::ProstCodec::<proto::HealthRequest, proto::HealthResponse>::default();
    let path = PathAndQuery::from_static(path);
    grpc.unary(Request::new(proto::HealthRequest {}), path, codec).await.expect_err("refused")
}

#[tokio::test]
async fn every_other_method_is_unimplemented_and_named() {
    let gateway = gateway(&Fake::new()).await;
    for path in [
        "/openshell.v1.OpenShell/ExecSandbox",
        "/openshell.v1.OpenShell/ForwardTcp",
        "/openshell.v1.OpenShell/ExecSandboxInteractive",
        "/openshell.v1.OpenShell/GetSandboxLogs",
        "/openshell.v1.OpenShell/PushSandboxLogs",
        "/openshell.v1.OpenShell/ConnectSupervisor",
        "/openshell.v1.OpenShell/ReportMainProcessExit",
        "/openshell.v1.OpenShell/RelayStream",
        "/openshell.v1.OpenShell/RefreshSandboxToken",
        // Not in the table at all.
        "/openshell.v1.OpenShell/CreateProvider",
        "/openshell.v1.OpenShell/",
        "/openshell.v1.OpenShellX/Health",
        "/openshell.compute.v1.ComputeDriver/DeleteSandbox",
        "/grpc.health.v1.Health/List",
        "/grpc.reflection.v1.ServerReflection/Other",
        "/grpc.reflection.v2.ServerReflection/ServerReflectionInfo",
    ] {
        let status = call(&gateway, path).await;
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
        assert!(status.message().contains(&path[1..]), "{path}: {status:?}");
    }
}

#[tokio::test]
async fn a_message_that_is_none() {
    let gateway = gateway(&Fake::new()).await;
    let mut grpc = Grpc::new(gateway.channel.clone());
    grpc.ready().await.unwrap();
    // Field 2 of `CreateSandboxRequest` is a text, and comes as bytes that are no UTF-8. The code is gRPC's own for it:
    // "Status codes and their use in gRPC", error parsing request proto.
    let garbage = |bytes: &[u8]| proto::RelayFrame {
        payload: Some(proto::relay_frame::Payload::Data(bytes.to_vec().into())),
    };
    let codec = tonic_prost::ProstCodec::<proto::RelayFrame, proto::SandboxResponse>::default();
    let path = PathAndQuery::from_static("/openshell.v1.OpenShell/CreateSandbox");
    let status = grpc.unary(Request::new(garbage(b"\xff\xfe")), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status:?}");
}

#[tokio::test]
async fn requests_that_are_junk() {
    let mut gateway = gateway(&Fake::new()).await;
    let create = |change: fn(&mut proto::CreateSandboxRequest)| {
        let mut request = proto::CreateSandboxRequest::default();
        change(&mut request);
        request
    };
    fn spec(request: &mut proto::CreateSandboxRequest) -> &mut proto::SandboxSpec {
        request.spec.get_or_insert_default()
    }
    for (request, code, says) in [
        (create(|r| r.name = "Not_A_Name".to_owned()), Code::InvalidArgument, "Not_A_Name"),
        (create(|r| r.name = "a".repeat(51)), Code::InvalidArgument, "51"),
        (create(|r| r.workspace = "other".to_owned()), Code::NotFound, "`other`"),
        (create(|r| spec(r).providers.push("p".to_owned())), Code::InvalidArgument, "providers"),
        (
            create(|r| {
                spec(r).environment.insert("OPENSHELL_X".to_owned(), "s3cret".to_owned());
            }),
            Code::InvalidArgument,
            "OPENSHELL_X",
        ),
    ] {
        let status = gateway.client.create_sandbox(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(says) && !status.message().contains("s3cret"), "{status:?}");
    }
    let list = |selector: &str, workspace: &str| proto::ListSandboxesRequest {
        label_selector: selector.to_owned(),
        workspace: workspace.to_owned(),
        ..Default::default()
    };
    for (request, code, says) in [
        (list("k in (v)", ""), Code::InvalidArgument, "k in (v"),
        (list("a,,b", ""), Code::InvalidArgument, "empty part"),
        (list("", "other"), Code::NotFound, "`other`"),
    ] {
        let status = gateway.client.list_sandboxes(request).await.unwrap_err();
        assert!(status.code() == code && status.message().contains(says), "{status:?}");
    }
    assert_eq!(gateway.get("").await.unwrap_err().code(), Code::InvalidArgument);
    let missing = gateway.get("missing").await.unwrap_err();
    assert!(missing.code() == Code::NotFound && missing.message().contains("`missing`"), "{missing:?}");
    assert_eq!(gateway.stop_sandbox("missing").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(gateway.start_sandbox("missing").await.unwrap_err().code(), Code::NotFound);
    for (id, code) in [("", Code::InvalidArgument), ("missing", Code::NotFound)] {
        let request = proto::WatchSandboxRequest { id: id.to_owned(), ..Default::default() };
        assert_eq!(gateway.client.watch_sandbox(request).await.unwrap_err().code(), code);
    }
    assert!(gateway.list(proto::ListSandboxesRequest::default()).await.is_empty(), "nothing is stored");
}

/// What a hostile client sends: refused by name, with no secret in the answer, and nothing is stored.
#[tokio::test]
async fn requests_that_are_too_much() {
    let mut gateway = gateway(&Fake::new()).await;
    let pairs = |count: usize, key: &str, value: &str| -> BTreeMap<String, String> {
        (0..count).map(|number| (format!("{key}{number}"), value.to_owned())).collect()
    };
    let one = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let with = |change: &dyn Fn(&mut proto::CreateSandboxRequest)| {
        let mut request = proto::CreateSandboxRequest::default();
        change(&mut request);
        request
    };
    let spec = |change: &dyn Fn(&mut proto::SandboxSpec)| {
        with(&|request| change(request.spec.get_or_insert_default()))
    };
    let template = |change: &dyn Fn(&mut proto::SandboxTemplate)| {
        spec(&|spec| change(spec.template.get_or_insert_default()))
    };
    let config = |value: serde_json::Value| {
        let fields =
            openshell_proto::structs::from_json(value.as_object().expect("an object")).expect("fits");
        template(&move |template| template.driver_config = Some(fields.clone()))
    };
    let nested = (0..17).fold(serde_json::json!({}), |inner, _| serde_json::json!({ "a": inner }));
    for (request, says) in [
        (with(&|r| r.name = "../../etc".to_owned()), "the name"),
        (with(&|r| r.workspace = "../x".to_owned()), "`workspace`"),
        (with(&|r| r.labels = one("k", "a\nb")), "`labels`"),
        (with(&|r| r.labels = one("k\n", "v")), "`labels`"),
        (with(&|r| r.labels = one("a/b/c", "v")), "`labels`"),
        (with(&|r| r.labels = one("k", &"v".repeat(64))), "`labels`"),
        (with(&|r| r.labels = pairs(300, "k", "v")), "`labels`"),
        (with(&|r| r.annotations = one("k", "s3cret\n")), "`annotations`"),
        (with(&|r| r.annotations = one("k\0", "s3cret")), "`annotations`"),
        (with(&|r| r.annotations = one("k", &"s3cret".repeat(50_000))), "`annotations`"),
        (spec(&|s| s.environment = pairs(20, "K", &"s3cret".repeat(10_000))), "`spec.environment`"),
        (spec(&|s| s.environment = one("K", "s3cret\0")), "`spec.environment`"),
        (spec(&|s| s.environment = one("A=B", "s3cret")), "`spec.environment`"),
        (spec(&|s| s.environment = one("OPENSHELL_ENDPOINT", "s3cret")), "OPENSHELL_ENDPOINT"),
        (template(&|t| t.environment = one("OPENSHELL_X", "s3cret")), "`spec.template.environment`"),
        (template(&|t| t.labels = one("k", "a\rb")), "`spec.template.labels`"),
        (template(&|t| t.annotations = one("k", "a\u{1b}b")), "`spec.template.annotations`"),
        (template(&|t| t.image = "a\nb".to_owned()), "`spec.template.image`"),
        (spec(&|s| s.command = vec!["s3cret".to_owned(); 5000]), "`spec.command`"),
        (spec(&|s| s.command = vec!["s3cret".repeat(30_000)]), "`spec.command`"),
        (spec(&|s| s.log_level = "loud".to_owned()), "`spec.log_level`: `loud`"),
        (config(serde_json::json!({ "fake": nested })), "`spec.template.driver_config` is nested"),
        (
            config(serde_json::json!({ "fake": { "a": "s3cret".repeat(50_000) } })),
            "`spec.template.driver_config` has",
        ),
    ] {
        let status = gateway.client.create_sandbox(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{says}: {status:?}");
        assert!(status.message().contains(says), "{says}: {status:?}");
        assert!(!status.message().contains("s3cret") && status.message().len() < 1000, "{status:?}");
    }
    // Ten MiB of variables do not even come in.
    let request = spec(&|s| s.environment = pairs(100, "K", &"s".repeat(105_000)));
    let status = gateway.client.create_sandbox(request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("4194304"), "{status:?}");
    assert!(gateway.list(proto::ListSandboxesRequest::default()).await.is_empty(), "nothing is stored");
}

#[tokio::test]
async fn what_is_not_grpc_is_told_so() {
    use tower::Service;
    let gateway = gateway(&Fake::new()).await;
    let mut service = gateway.runtime.service();
    for content_type in [None, Some("text/html")] {
        let mut request = http::Request::get("http://gateway/").body(tonic::body::Body::empty()).unwrap();
        if let Some(value) = content_type {
            request.headers_mut().insert("content-type", value.parse().unwrap());
        }
        let response = service.call(request).await.unwrap();
        assert_eq!(response.status(), http::StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
