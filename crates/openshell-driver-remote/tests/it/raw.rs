//! The server against requests that our own client never makes, by the driver's column of the contract.

use openshell_driver_remote::ServeOptions;
use openshell_proto::compute::v1::{self as wire, DriverSandbox, DriverSandboxSpec};
use tonic::{Code, Status};

use crate::fake::Fake;
use crate::support::{place, raw, serve_at};

fn get(id: &str, name: &str) -> wire::GetSandboxRequest {
    wire::GetSandboxRequest { sandbox_id: id.to_owned(), sandbox_name: name.to_owned() }
}

#[tokio::test]
async fn a_sandbox_is_found_by_id_by_both_and_by_a_name_of_its_own() {
    let (_home, path) = place();
    let fake = Fake::new();
    fake.add("a", "one");
    fake.add("b", "two");
    fake.add("c", "two");
    let served = serve_at(&path, &fake, ServeOptions::default());
    let mut client = raw(&path).await;
    for (id, name, expected) in [
        ("a", "", Ok("a")),
        ("a", "one", Ok("a")),
        // The id is the key, whatever the name says.
        ("a", "two", Ok("a")),
        ("", "one", Ok("a")),
        ("", "two", Err(Code::FailedPrecondition)),
        ("", "three", Err(Code::NotFound)),
        ("", "", Err(Code::InvalidArgument)),
        ("z", "one", Err(Code::NotFound)),
    ] {
        let answer = client.get_sandbox(get(id, name)).await;
        let answer = answer.map(|answer| answer.into_inner().sandbox.expect("a sandbox").id);
        assert_eq!(answer.as_deref().map_err(Status::code), expected, "id `{id}`, name `{name}`");
    }
    let gone = wire::DeleteSandboxRequest { sandbox_id: String::new(), sandbox_name: "three".to_owned() };
    assert!(!client.delete_sandbox(gone).await.expect("idempotent").into_inner().deleted);
    for refused in [
        client.stop_sandbox(wire::StopSandboxRequest::default()).await.err(),
        client.start_sandbox(wire::StartSandboxRequest::default()).await.err(),
        client.delete_sandbox(wire::DeleteSandboxRequest::default()).await.err(),
    ] {
        assert_eq!(refused.expect("refused").code(), Code::InvalidArgument);
    }
    assert_eq!(fake.state().sandboxes.len(), 3, "an empty filter is not `all`");
    drop(client);
    served.stop().await;
}

#[tokio::test]
async fn half_a_request_is_invalid_and_no_token_comes_back() {
    let (_home, path) = place();
    let fake = Fake::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let mut client = raw(&path).await;
    let spec = DriverSandboxSpec { sandbox_token: "s3cret".to_owned(), ..Default::default() };
    let with_id = || DriverSandbox { id: "a".to_owned(), ..Default::default() };
    for (sandbox, said) in [
        (None, "the request has no `sandbox`"),
        (Some(DriverSandbox { spec: Some(spec), ..Default::default() }), "the sandbox has no `id`"),
        (Some(with_id()), "the request has no `sandbox.spec`"),
    ] {
        let create = wire::CreateSandboxRequest { sandbox: sandbox.clone() };
        let validate = wire::ValidateSandboxCreateRequest { sandbox };
        for status in [
            client.create_sandbox(create).await.expect_err("half a request"),
            client.validate_sandbox_create(validate).await.expect_err("half a request"),
        ] {
            assert_eq!((status.code(), status.message()), (Code::InvalidArgument, said));
        }
    }
    assert!(fake.state().requests.is_empty());
    drop(client);
    served.stop().await;
}
