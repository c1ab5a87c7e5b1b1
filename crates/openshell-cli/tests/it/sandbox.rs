//! `status`, and `sandbox create`, `get`, `list`, `stop`, `start`, `delete` when all is well.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use openshell_proto::openshell::v1::{GpuResourceRequirements, SandboxPhase, SandboxSpec, ServiceStatus};
use openshell_proto::structs;
use serde_json::json;

use crate::fake::{Gateway, sandbox, seen};
use crate::{line, openshell, run};

#[test]
fn status_shows_the_gateway_and_the_live_driver() {
    let gateway = Gateway::start();
    let socket = gateway.socket();
    assert_eq!(
        line(&socket, "status").good(),
        format!(
            "gateway:  healthy, version 0.1.0\nsocket:   {}\nchosen:   OPENSHELL_GATEWAY_SOCKET names it\n\
             driver:   docker 0.1.0 (engine API 1.41)\n\
             state:    not told: this gateway is older than this client\n",
            socket.display()
        )
    );
    assert_eq!(
        line(&socket, "status --json").json(),
        json!({
            "status": "healthy",
            "version": "0.1.0",
            "gateway": null,
            "gateway_id": null,
            "endpoint": format!("unix://{}", socket.display()),
            "socket": socket,
            "chosen_by": "OPENSHELL_GATEWAY_SOCKET",
            "compute_drivers": [{
                "name": "docker",
                "capabilities": { "driver_name": "docker", "driver_version": "0.1.0 (engine API 1.41)" },
                "kind": null,
                "socket": null,
                "connected": null,
                "since_ms": null,
                "reconnects": null,
                "watch_lag_us": null,
                "sandboxes": null,
                "supervised": null,
                "methods": null,
                "last_failure": null,
            }],
        })
    );
}

#[test]
fn a_gateway_that_is_not_well_is_shown_and_is_an_error() {
    let gateway = Gateway::start();
    gateway.state().health = ServiceStatus::Degraded;
    let run = line(&gateway.socket(), "status");
    assert_eq!(run.code, Some(1));
    assert!(run.out.contains("driver:   docker, not connected\n"), "{}", run.out);
    assert_eq!(
        run.err,
        "error: the gateway is degraded\n\
         hint: the gateway's log says what it lacks; most often its driver does not answer\n"
    );
}

#[test]
fn create_says_all_that_the_command_line_says() {
    let gateway = Gateway::start();
    let args = [
        "sandbox",
        "create",
        "--name",
        "a",
        "--image",
        "busybox:1",
        "--env",
        "A=1",
        "--env",
        "B=x=y",
        "--label",
        "tier=web",
        "--cpu",
        "500m",
        "--memory",
        "512Mi",
        "--memory-request",
        "256Mi",
        "--gpu",
        "2",
        "--driver-config",
        r#"{"docker":{"network":"none","pids":64}}"#,
        "--tty",
        "--workspace",
        "w",
        "--",
        "sh",
        "-c",
        "echo 'a b'; sleep 1",
    ];
    assert_eq!(run(&gateway.socket(), args).good(), "a\n");

    let request = gateway.state().creates.remove(0);
    assert_eq!((request.name.as_str(), request.workspace.as_str()), ("a", "w"));
    assert_eq!(request.labels, [("tier".to_owned(), "web".to_owned())].into());
    let spec = request.spec.expect("a spec");
    assert_eq!(spec.command, ["sh", "-c", "echo 'a b'; sleep 1"]);
    assert_eq!(
        spec.environment,
        [("A", "1"), ("B", "x=y")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    );
    assert!(spec.tty);
    let gpu = spec.resource_requirements.and_then(|it| it.gpu);
    assert_eq!(gpu, Some(GpuResourceRequirements { count: Some(2) }));
    let template = spec.template.expect("a template");
    assert_eq!(template.image, "busybox:1");
    let resources = structs::to_json(&template.resources.expect("resources")).expect("JSON");
    assert_eq!(
        serde_json::Value::from(resources),
        json!({ "limits": { "cpu": "500m", "memory": "512Mi" }, "requests": { "memory": "256Mi" } })
    );
    let config = structs::to_json(&template.driver_config.expect("settings")).expect("JSON");
    assert_eq!(serde_json::Value::from(config), json!({ "docker": { "network": "none", "pids": 64 } }));
}

#[test]
fn create_without_options_asks_for_nothing() {
    let gateway = Gateway::start();
    assert_eq!(line(&gateway.socket(), "sandbox create").good(), "made-up\n");
    let request = gateway.state().creates.remove(0);
    let spec = request.spec.clone().expect("a spec");
    assert_eq!(spec, SandboxSpec { template: Some(Default::default()), ..SandboxSpec::default() });
    assert_eq!((request.name.as_str(), request.workspace.as_str()), ("", ""));
}

#[test]
fn get_says_why_and_keeps_values_of_the_environment_to_itself() {
    let gateway = Gateway::start();
    let mut one = sandbox("a", SandboxPhase::Error, "ImagePullFailed", "no such image\nforged: line");
    let spec = one.spec.as_mut().expect("a spec");
    spec.environment.insert("TOKEN".to_owned(), "s3cret".to_owned());
    spec.command = vec!["sh".to_owned(), "-c".to_owned(), "sleep 1".to_owned()];
    gateway.state().sandboxes.push(one);

    let text = line(&gateway.socket(), "sandbox get a").good();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("created:")).collect();
    assert_eq!(
        lines,
        [
            "name:         a",
            "workspace:    default",
            "id:           id-a",
            "phase:        error",
            "image:        busybox:1",
            "command:      sh -c 'sleep 1'",
            "environment:  TOKEN",
            "",
            "conditions:",
            "  TYPE   STATUS  REASON           SINCE                 MESSAGE",
            "  Ready  False   ImagePullFailed  2026-01-02T03:04:05Z  no such image\\nforged: line",
        ]
    );
    assert!(text.contains("created:      2026-01-02T03:04:05Z ("), "{text}");

    let json = line(&gateway.socket(), "sandbox get a --json").json();
    assert_eq!(json["status"]["phase"], "error");
    assert_eq!(json["status"]["conditions"][0]["reason"], "ImagePullFailed");
    assert_eq!(json["spec"]["environment"]["TOKEN"], "s3cret");
    assert_eq!(json["status"]["exit_code"], serde_json::Value::Null);
}

#[test]
fn list_is_a_table_or_an_array() {
    let gateway = Gateway::start();
    let socket = gateway.socket();
    assert_eq!(line(&socket, "sandbox list").good(), "NAME  PHASE  AGE  IMAGE  ID\n");
    assert_eq!(line(&socket, "sandbox list --json").json(), json!([]));

    let mut bare = sandbox("b", SandboxPhase::Stopped, "", "");
    bare.spec = None;
    bare.metadata.as_mut().expect("metadata").created_at_ms = i64::MAX;
    let mut a = bare.clone();
    a.metadata.as_mut().expect("metadata").name = "a-longer-one".to_owned();
    gateway.state().sandboxes.extend([a, bare]);
    assert_eq!(
        line(&socket, "sandbox ls -A -l tier=web").good(),
        "WORKSPACE  NAME          PHASE    AGE  IMAGE  ID\n\
         default    a-longer-one  stopped  0s   -      id-b\n"
    );
    let asked = gateway.state().lists.pop().expect("a request");
    assert!(asked.all_workspaces);
    assert_eq!((asked.label_selector.as_str(), asked.limit), ("tier=web", 1_000));
}

#[test]
fn list_reads_page_after_page() {
    let gateway = Gateway::start();
    let many = (0..2_500).map(|number| sandbox(&format!("s{number}"), SandboxPhase::Ready, "", ""));
    gateway.state().sandboxes.extend(many);
    // More than a gRPC client takes in one answer unless told to.
    let large = "x".repeat(5 << 20);
    gateway.state().sandboxes[7].spec.get_or_insert_default().environment.insert("A".to_owned(), large);
    let socket = gateway.socket();
    assert_eq!(line(&socket, "sandbox list").good().lines().count(), 2_501);
    assert_eq!(line(&socket, "sandbox list --limit 1001").good().lines().count(), 1_002);
    let asked: Vec<(u32, u32)> = gateway.state().lists.iter().map(|it| (it.offset, it.limit)).collect();
    assert_eq!(asked, [(0, 1_000), (1_000, 1_000), (2_000, 1_000), (0, 1_000), (1_000, 1)]);
}

#[test]
fn stop_start_delete_print_the_name() {
    let gateway = Gateway::start();
    let socket = gateway.socket();
    gateway.state().sandboxes.push(sandbox("a", SandboxPhase::Ready, "", ""));
    assert_eq!(line(&socket, "sandbox stop a").good(), "a\n");
    assert_eq!(line(&socket, "sandbox start a --json").json()["status"]["phase"], "starting");
    assert_eq!(line(&socket, "sandbox delete a").good(), "a\n");
    assert_eq!(line(&socket, "sandbox rm a --json").json(), json!({ "name": "a", "deleted": true }));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let gateway = Gateway::start();
    let many = (0..5_000).map(|number| sandbox(&format!("s{number}"), SandboxPhase::Ready, "", ""));
    gateway.state().sandboxes.extend(many);
    let mut child = openshell(&gateway.socket())
        .args(["sandbox", "list", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut first = String::new();
    // More than a pipe holds is still to come when the reader goes.
    BufReader::with_capacity(16, child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert_eq!(first, "[\n");
    let run = crate::Run::from(child.wait_with_output().expect("it ends"));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}

#[test]
fn delete_waits_until_it_is_gone() {
    let gateway = Gateway::start();
    gateway.state().sandboxes.push(sandbox("a", SandboxPhase::Error, "", ""));
    gateway.state().scripts.push_back(vec![seen(sandbox("a", SandboxPhase::Deleting, "", ""))]);
    assert_eq!(line(&gateway.socket(), "sandbox delete a --wait -q").good(), "a\n");
    assert_eq!(gateway.state().watches[0].id, "id-a");
    // Gone before the watch begins: the fake has no further script, and says NOT_FOUND.
    assert_eq!(line(&gateway.socket(), "sandbox delete a --wait=5 -q").good(), "a\n");
}
