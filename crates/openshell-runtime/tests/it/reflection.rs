//! Reflection, walked as a tool would: services, then their files, then what those import.

use std::collections::BTreeMap;

use openshell_proto::openshell::v1::OPEN_SHELL_METHODS;
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic::{Code, Status};
use tonic_reflection::pb::{v1, v1alpha};

use crate::client::{Gateway, gateway};
use crate::fake::Fake;

/// One question on a stream of its own.
async fn ask(
    gateway: &Gateway,
    question: v1::server_reflection_request::MessageRequest,
) -> Result<v1::server_reflection_response::MessageResponse, Status> {
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(gateway.channel.clone());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut answers = client.server_reflection_info(tokio_stream::iter([request])).await?.into_inner();
    let answer = answers.message().await?.expect("an answer");
    Ok(answer.message_response.expect("something in it"))
}

/// The one file of an answer.
fn file(answer: v1::server_reflection_response::MessageResponse) -> FileDescriptorProto {
    use v1::server_reflection_response::MessageResponse::FileDescriptorResponse;
    let FileDescriptorResponse(answer) = answer else { panic!("no file: {answer:?}") };
    let [bytes] = answer.file_descriptor_proto.as_slice() else { panic!("one file") };
    FileDescriptorProto::decode(bytes.as_slice()).expect("a descriptor")
}

#[tokio::test]
async fn everything_that_is_served_can_be_described() {
    use v1::server_reflection_request::MessageRequest::{FileByFilename, FileContainingSymbol, ListServices};
    use v1::server_reflection_response::MessageResponse::ListServicesResponse;
    let gateway = gateway(&Fake::new()).await;
    let answer = ask(&gateway, ListServices(String::new())).await.unwrap();
    let ListServicesResponse(listed) = answer else { panic!("no services: {answer:?}") };
    let mut names: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "openshell.gateway.v1alpha1.Gateway",
            "openshell.v1.OpenShell",
        ]
    );
    let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    for name in &names {
        let found = file(ask(&gateway, FileContainingSymbol(name.clone())).await.unwrap());
        let (package, service) = name.rsplit_once('.').expect("a package");
        assert_eq!(found.package(), package);
        assert!(found.service.iter().any(|found| found.name() == service), "{name}");
        files.insert(found.name().to_owned(), found);
    }
    // What they import, and so on, until nothing is missing.
    while let Some(missing) =
        files.values().flat_map(|file| &file.dependency).find(|import| !files.contains_key(*import)).cloned()
    {
        let found = file(ask(&gateway, FileByFilename(missing.clone())).await.unwrap());
        assert_eq!(found.name(), missing);
        files.insert(missing, found);
    }
    let api = files.values().find(|file| file.package() == "openshell.v1").expect("the API");
    let methods: Vec<&str> = api.service[0].method.iter().map(|method| method.name()).collect();
    assert_eq!(methods, OPEN_SHELL_METHODS);
    for symbol in
        ["openshell.v1.OpenShell.Health", "openshell.v1.Sandbox", "openshell.datamodel.v1.ObjectMeta"]
    {
        ask(&gateway, FileContainingSymbol(symbol.to_owned())).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    use v1::server_reflection_request::MessageRequest::{FileByFilename, FileContainingSymbol};
    let gateway = gateway(&Fake::new()).await;
    for question in [
        FileContainingSymbol("openshell.v1.Nothing".to_owned()),
        // Spoken by drivers, and not by this gateway.
        FileContainingSymbol("openshell.compute.v1.ComputeDriver".to_owned()),
        FileByFilename("../../etc/passwd".to_owned()),
        FileByFilename(String::new()),
    ] {
        let status = ask(&gateway, question.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{question:?}: {status:?}");
    }
}

#[tokio::test]
async fn the_older_name_answers_the_same() {
    use v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol;
    use v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse;
    let gateway = gateway(&Fake::new()).await;
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(gateway.channel.clone());
    let question = FileContainingSymbol("openshell.v1.OpenShell".to_owned());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let asked = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    let answer = asked.into_inner().message().await.unwrap().expect("an answer");
    let Some(FileDescriptorResponse(found)) = answer.message_response else { panic!("no file: {answer:?}") };
    let found = FileDescriptorProto::decode(found.file_descriptor_proto[0].as_slice()).unwrap();
    assert_eq!(found.package(), "openshell.v1");
}
