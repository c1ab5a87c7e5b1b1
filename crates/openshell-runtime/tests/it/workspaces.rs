//! Workspaces: their calls, what they hold, and their ends, also of a gateway in between.

use std::collections::BTreeMap;
use std::time::Duration;

use openshell_driver_api::ErrorKind;
use openshell_proto::datamodel::v1::{Workspace, WorkspacePhase};
use openshell_proto::openshell::v1::{self as proto, SandboxPhase};
use tonic::{Code, Status};

use crate::client::{Gateway, eventually, gateway, gateway_in, gateway_with, name_of, phase_of, settings};
use crate::fake::{Fake, Script};

async fn make(gateway: &mut Gateway, name: &str, labels: &[(&str, &str)]) -> Result<Workspace, Status> {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let request = proto::CreateWorkspaceRequest { name: name.to_owned(), labels };
    Ok(gateway.client.create_workspace(request).await?.into_inner().workspace.expect("a workspace"))
}

async fn get(gateway: &mut Gateway, name: &str) -> Result<Workspace, Status> {
    let request = proto::GetWorkspaceRequest { name: name.to_owned() };
    Ok(gateway.client.get_workspace(request).await?.into_inner().workspace.expect("a workspace"))
}

async fn delete(gateway: &mut Gateway, name: &str) -> Result<bool, Status> {
    let request = proto::DeleteWorkspaceRequest { name: name.to_owned() };
    Ok(gateway.client.delete_workspace(request).await?.into_inner().deleted)
}

async fn list(gateway: &mut Gateway, limit: u32, offset: u32, selector: &str) -> Result<String, Status> {
    let request = proto::ListWorkspacesRequest { limit, offset, label_selector: selector.to_owned() };
    let found = gateway.client.list_workspaces(request).await?.into_inner().workspaces;
    let names: Vec<String> =
        found.into_iter().map(|workspace| workspace.metadata.expect("metadata").name).collect();
    Ok(names.join(" "))
}

async fn create_in(gateway: &mut Gateway, workspace: &str, name: &str) -> Result<proto::Sandbox, Status> {
    let request = proto::CreateSandboxRequest {
        name: name.to_owned(),
        workspace: workspace.to_owned(),
        ..Default::default()
    };
    Ok(gateway.client.create_sandbox(request).await?.into_inner().sandbox.expect("a sandbox"))
}

async fn delete_in(gateway: &mut Gateway, workspace: &str, name: &str) {
    let request = proto::DeleteSandboxRequest { name: name.to_owned(), workspace: workspace.to_owned() };
    gateway.client.delete_sandbox(request).await.expect("deleted");
}

async fn until_gone(gateway: &mut Gateway, name: &str) {
    let wait = async {
        while get(gateway, name).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it goes");
}

#[tokio::test]
async fn a_life() {
    let fake = Fake::new();
    fake.knows_workspaces();
    let mut gateway = gateway(&fake).await;
    let made = make(&mut gateway, "team-a", &[("tier", "1")]).await.unwrap();
    assert_eq!(made.status.unwrap().phase(), WorkspacePhase::Active);
    let metadata = made.metadata.clone().unwrap();
    assert_eq!((metadata.id.len(), metadata.resource_version), (36, 1));
    assert!(metadata.created_at_ms > 1_600_000_000_000 && metadata.deletion_timestamp_ms == 0);
    assert_eq!(metadata.labels, BTreeMap::from([("tier".to_owned(), "1".to_owned())]));
    assert_eq!(get(&mut gateway, "team-a").await.unwrap(), made);
    assert!(fake.workspaces().is_empty(), "nothing is made for nobody");
    let sandbox = create_in(&mut gateway, "team-a", "one").await.unwrap();
    assert_eq!(sandbox.metadata.unwrap().workspace, "team-a");
    eventually("made", || fake.made(&["create"]).len() == 1).await;
    create_in(&mut gateway, "team-a", "two").await.unwrap();
    eventually("made", || fake.made(&["create"]).len() == 2).await;
    assert_eq!(fake.made(&["ensure_workspace"]), ["ensure_workspace team-a"], "once, before the first");
    assert_eq!(fake.workspaces(), ["team-a"]);

    let status = delete(&mut gateway, "team-a").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("`team-a` holds 2 sandboxes"), "{status:?}");
    for name in ["one", "two"] {
        delete_in(&mut gateway, "team-a", name).await;
    }
    while delete(&mut gateway, "team-a").await.is_err() {}
    assert!(fake.workspaces().is_empty());
    let status = get(&mut gateway, "team-a").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("`openshell workspace create team-a`"), "{status:?}");
    assert_eq!(delete(&mut gateway, "team-a").await.unwrap_err().code(), Code::NotFound);
    let again = make(&mut gateway, "team-a", &[]).await.unwrap();
    assert_ne!(again.metadata.unwrap().id, metadata.id);
    create_in(&mut gateway, "team-a", "one").await.unwrap();
    eventually("prepared anew", || fake.workspaces() == ["team-a"]).await;
}

#[tokio::test]
async fn names_labels_and_what_is_taken() {
    let mut gateway = gateway(&Fake::new()).await;
    make(&mut gateway, "team", &[]).await.unwrap();
    for (name, labels, code, says) in [
        ("team", [].as_slice(), Code::AlreadyExists, "`team`"),
        ("default", &[], Code::AlreadyExists, "`default`"),
        ("", &[], Code::InvalidArgument, "empty"),
        ("../x", &[], Code::InvalidArgument, "../x"),
        ("Team", &[], Code::InvalidArgument, "Team"),
        (&"a".repeat(51), &[], Code::InvalidArgument, "51"),
        ("x", &[("k", "a\nb")], Code::InvalidArgument, "`labels`"),
        ("x", &[("k k", "v")], Code::InvalidArgument, "k k"),
    ] {
        let status = make(&mut gateway, name, labels).await.unwrap_err();
        assert_eq!(status.code(), code, "{name}: {status:?}");
        assert!(status.message().contains(says), "{name}: {status:?}");
    }
    for (name, code) in [("", Code::InvalidArgument), ("../x", Code::InvalidArgument), ("x", Code::NotFound)]
    {
        assert_eq!(get(&mut gateway, name).await.unwrap_err().code(), code);
        assert_eq!(delete(&mut gateway, name).await.unwrap_err().code(), code);
    }
    let status = delete(&mut gateway, "default").await.unwrap_err();
    assert!(status.code() == Code::FailedPrecondition && status.message().contains("always"), "{status:?}");
    assert_eq!(list(&mut gateway, 0, 0, "").await.unwrap(), "default team");
}

#[tokio::test]
async fn lists_in_order_in_pages_and_by_labels() {
    let mut gateway = gateway(&Fake::new()).await;
    for number in 0..5 {
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        make(&mut gateway, &format!("w{number}"), &[("parity", parity)]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for (limit, offset, selector, expected) in [
        (0, 0, "", "default w0 w1 w2 w3 w4"),
        (2, 1, "", "w0 w1"),
        (1000, 6, "", ""),
        (5000, u32::MAX, "", ""),
        (0, 0, "parity=even", "w0 w2 w4"),
        (0, 0, "parity!=even", "default w1 w3"),
        (1, 1, "parity", "w1"),
    ] {
        assert_eq!(list(&mut gateway, limit, offset, selector).await.unwrap(), expected, "{selector}");
    }
    assert_eq!(list(&mut gateway, 0, 0, "a,,b").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn each_workspace_has_names_and_lists_of_its_own() {
    let mut gateway = gateway(&Fake::new()).await;
    make(&mut gateway, "team", &[]).await.unwrap();
    create_in(&mut gateway, "", "one").await.unwrap();
    create_in(&mut gateway, "team", "one").await.unwrap();
    create_in(&mut gateway, "team", "two").await.unwrap();
    let status = create_in(&mut gateway, "team", "two").await.unwrap_err();
    assert!(status.code() == Code::AlreadyExists && status.message().contains("`team`"), "{status:?}");
    let listed = |workspace: &str, all_workspaces| proto::ListSandboxesRequest {
        workspace: workspace.to_owned(),
        all_workspaces,
        ..Default::default()
    };
    assert_eq!(gateway.list(listed("", false)).await, ["one"]);
    assert_eq!(gateway.list(listed("default", false)).await, ["one"]);
    assert_eq!(gateway.list(listed("team", false)).await.len(), 2);
    assert_eq!(gateway.list(listed("", true)).await.len(), 3);
    let get = proto::GetSandboxRequest { name: "two".to_owned(), workspace: "team".to_owned() };
    let found = gateway.client.get_sandbox(get).await.unwrap().into_inner().sandbox.unwrap();
    assert_eq!(name_of(&found), "two");
    assert_eq!(gateway.get("two").await.unwrap_err().code(), Code::NotFound, "not in `default`");
}

#[tokio::test]
async fn what_is_in_no_workspace() {
    let mut gateway = gateway(&Fake::new()).await;
    let (name, workspace) = ("one".to_owned(), "nowhere".to_owned());
    let statuses = [
        create_in(&mut gateway, "nowhere", "one").await.unwrap_err(),
        gateway
            .client
            .get_sandbox(proto::GetSandboxRequest { name: name.clone(), workspace: workspace.clone() })
            .await
            .unwrap_err(),
        gateway
            .client
            .stop_sandbox(proto::StopSandboxRequest { name: name.clone(), workspace: workspace.clone() })
            .await
            .unwrap_err(),
        gateway
            .client
            .delete_sandbox(proto::DeleteSandboxRequest { name, workspace: workspace.clone() })
            .await
            .unwrap_err(),
        gateway
            .client
            .list_sandboxes(proto::ListSandboxesRequest { workspace, ..Default::default() })
            .await
            .unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains("no workspace `nowhere`"), "{status:?}");
        assert!(status.message().contains("`openshell workspace create nowhere`"), "{status:?}");
    }
    let status = create_in(&mut gateway, "../etc", "one").await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("../etc"), "{status:?}");
}

#[tokio::test]
async fn an_older_driver_has_no_workspaces_and_is_asked_once() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    for name in ["a", "b"] {
        make(&mut gateway, name, &[]).await.unwrap();
        create_in(&mut gateway, name, "one").await.unwrap();
        eventually("made", || fake.made(&["create"]).len() == usize::from(name == "b") + 1).await;
        delete_in(&mut gateway, name, "one").await;
        while delete(&mut gateway, name).await.is_err() {}
    }
    assert_eq!(fake.made(&["ensure_workspace"]), ["ensure_workspace a"], "remembered");
    assert_eq!(fake.made(&["delete_workspace"]), ["delete_workspace a"], "remembered");
    assert_eq!(list(&mut gateway, 0, 0, "").await.unwrap(), "default");
}

#[tokio::test]
async fn a_deletion_that_fails_is_told_and_goes_on_until_it_is_gone() {
    let fake = Fake::new();
    fake.knows_workspaces();
    let mut settings = settings();
    settings.deadlines.delete_workspace = Duration::from_millis(100);
    let pause = Duration::from_secs(600);
    settings.backoff = openshell_runtime::Backoff { first: pause, longest: pause };
    let mut gateway = gateway_with(&fake, settings).await;
    make(&mut gateway, "team", &[]).await.unwrap();
    fake.script("delete_workspace", [Script::Fail(ErrorKind::Aborted, "a conflict"), Script::Hang]);
    let status = delete(&mut gateway, "team").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "a conflict"));
    let going = get(&mut gateway, "team").await.unwrap();
    assert_eq!(going.status.unwrap().phase(), WorkspacePhase::Terminating);
    let metadata = going.metadata.unwrap();
    assert!(metadata.deletion_timestamp_ms > 0 && metadata.resource_version == 2, "{metadata:?}");
    let status = create_in(&mut gateway, "team", "one").await.unwrap_err();
    assert!(
        status.code() == Code::FailedPrecondition && status.message().contains("TERMINATING"),
        "{status:?}"
    );
    let status = make(&mut gateway, "team", &[]).await.unwrap_err();
    assert!(status.code() == Code::AlreadyExists && status.message().contains("TERMINATING"), "{status:?}");
    // A second call is no error, and looks again without the pause.
    while get(&mut gateway, "team").await.is_ok() {
        match delete(&mut gateway, "team").await {
            Ok(deleted) => assert!(deleted),
            Err(status) => assert_eq!(status.code(), Code::NotFound),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(fake.made(&["delete_workspace"]).len() >= 3);
}

#[tokio::test]
async fn a_deletion_that_nobody_answers() {
    let fake = Fake::new();
    fake.knows_workspaces();
    let mut settings = settings();
    settings.deadlines.delete_workspace = Duration::from_millis(100);
    let mut gateway = gateway_with(&fake, settings).await;
    make(&mut gateway, "team", &[]).await.unwrap();
    fake.script("delete_workspace", [Script::WorkAndHang]);
    assert_eq!(delete(&mut gateway, "team").await.unwrap_err().code(), Code::DeadlineExceeded);
    until_gone(&mut gateway, "team").await;
}

#[tokio::test]
async fn a_workspace_that_cannot_be_prepared_holds_up_its_sandboxes_alone() {
    let fake = Fake::new();
    fake.knows_workspaces();
    let mut settings = settings();
    settings.deadlines.ensure_workspace = Duration::from_millis(100);
    let mut gateway = gateway_with(&fake, settings).await;
    make(&mut gateway, "team", &[]).await.unwrap();
    fake.script("ensure_workspace", [Script::Hang, Script::Fail(ErrorKind::Unavailable, "away")]);
    let sandbox = create_in(&mut gateway, "team", "one").await.unwrap();
    assert_eq!(phase_of(&sandbox), SandboxPhase::Provisioning);
    gateway.ready("elsewhere").await;
    eventually("made", || fake.made(&["create"]).len() == 2).await;
    assert!(fake.workspaces().contains(&"team".to_owned()));
}

/// Between its row, the driver's work and the driver's answer.
#[tokio::test]
async fn a_gateway_that_goes_away_takes_the_deletion_up_again() {
    for hang in [Script::Hang, Script::WorkAndHang] {
        let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
        fake.knows_workspaces();
        let mut settings = settings();
        settings.deadlines.delete_workspace = Duration::from_secs(600);
        let mut gateway = gateway_in(directory.path(), &fake, settings.clone()).await;
        make(&mut gateway, "team", &[]).await.unwrap();
        create_in(&mut gateway, "team", "one").await.unwrap();
        eventually("prepared", || fake.workspaces() == ["team"]).await;
        delete_in(&mut gateway, "team", "one").await;
        fake.script("delete_workspace", [hang]);
        let mut client = gateway.client.clone();
        let asked = tokio::spawn(async move {
            loop {
                let request = proto::DeleteWorkspaceRequest { name: "team".to_owned() };
                let status = client.delete_workspace(request).await.map(|_| ());
                // Until the sandbox's row is gone.
                if !matches!(&status, Err(status) if status.code() == Code::FailedPrecondition) {
                    return status;
                }
            }
        });
        eventually("asked", || fake.made(&["delete_workspace"]).len() == 1).await;
        gateway.crash().await;
        asked.abort();
        let mut gateway = gateway_in(directory.path(), &fake, settings).await;
        until_gone(&mut gateway, "team").await;
        assert!(fake.workspaces().is_empty());
        assert_eq!(fake.made(&["delete_workspace"]).len(), 2);
        gateway.stop().await;
    }
}

/// Whoever comes first wins, and the other is told: never a sandbox in a workspace that is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_and_the_end_of_its_workspace_at_once() {
    let fake = Fake::new();
    fake.knows_workspaces();
    let mut gateway = gateway(&fake).await;
    let (mut kept, mut gone) = (0, 0);
    for round in 0..40 {
        let name = format!("w{round}");
        make(&mut gateway, &name, &[]).await.unwrap();
        let (mut one, mut two) = (gateway.client.clone(), gateway.client.clone());
        let create = proto::CreateSandboxRequest { workspace: name.clone(), ..Default::default() };
        let delete = proto::DeleteWorkspaceRequest { name: name.clone() };
        let (created, deleted) = tokio::join!(
            tokio::spawn(async move { one.create_sandbox(create).await }),
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(round * 50)).await;
                two.delete_workspace(delete).await
            }),
        );
        match (created.unwrap(), deleted.unwrap()) {
            (Ok(_), Err(status)) => {
                assert!(status.message().contains("holds 1 sandbox;"), "{status:?}");
                kept += 1;
            }
            (Err(status), Ok(_)) => {
                assert!(matches!(status.code(), Code::NotFound | Code::FailedPrecondition), "{status:?}");
                gone += 1;
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert_eq!(kept + gone, 40);
    let all = proto::ListSandboxesRequest { all_workspaces: true, ..Default::default() };
    assert_eq!(gateway.list(all).await.len(), kept);
}
