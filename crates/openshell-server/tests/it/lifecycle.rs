//! A sandbox's whole life on a real Docker engine, driven by the client, with the gateway killed between any two steps:
//! the driver in process, and the same driver as a program behind a socket.

use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Home, Leftovers, Process, docker_with_image, image, program, text};

/// How the gateway reaches the driver.
#[derive(Clone, Copy, PartialEq)]
enum Driver {
    InProcess,
    BehindSocket,
}

/// One gateway, its client, and where needed the driver's program.
struct Stage {
    home: Home,
    client: std::path::PathBuf,
    driver: Driver,
    program: Option<Process>,
    gateway: Option<Process>,
    id: String,
    _leftovers: Leftovers,
}

impl Stage {
    /// `None` when something that it needs is away.
    fn set(driver: Driver) -> Option<Self> {
        if !docker_with_image() {
            return None;
        }
        let client = program("openshell")?;
        let home = Home::new();
        let id = format!("e2e-{}-{}", std::process::id(), driver as u8);
        let leftovers = Leftovers(id.clone());
        let mut stage =
            Self { home, client, driver, program: None, gateway: None, id, _leftovers: leftovers };
        if driver == Driver::BehindSocket {
            let mut command = stage.home.command(program("openshell-driver-docker")?);
            let socket = stage.home.path("driver.sock");
            command.arg("--bind-socket").arg(&socket).args(["--gateway-id", &stage.id]);
            let mut process = stage.home.spawn("driver", command);
            process.wait_for_socket(&socket);
            stage.program = Some(process);
        }
        stage.start_gateway();
        Some(stage)
    }

    fn start_gateway(&mut self) {
        let socket = self.home.path("driver.sock");
        let socket = socket.to_str().expect("UTF-8");
        let mut args = vec!["--gateway-id", &self.id];
        match self.driver {
            Driver::InProcess => args.extend(["--drivers", "docker"]),
            Driver::BehindSocket => args.extend(["--compute-driver-socket", socket]),
        }
        self.gateway = Some(self.home.serve(&args));
    }

    /// `kill -9` of the gateway, and a new one.
    fn crash(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.kill();
        }
        self.start_gateway();
    }

    fn client(&self, args: &[&str]) -> Output {
        self.home.command(&self.client).args(args).output().expect("the client starts")
    }

    /// The client, which has to succeed.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.client(args);
        let log = self.gateway.as_ref().map(Process::log).unwrap_or_default();
        assert!(output.status.success(), "{args:?}: {}\n{log}", text(&output.stderr));
        text(&output.stdout)
    }

    fn phase(&self, name: &str) -> String {
        let json: Value = serde_json::from_str(&self.ok(&["--json", "sandbox", "get", name])).expect("JSON");
        phase_of(&json).unwrap_or_else(|| panic!("no phase in {json:#}"))
    }

    /// The engine's containers of this gateway, running or not.
    fn containers(&self) -> Vec<String> {
        let filter = format!("label=openshell.ai/gateway-id={}", self.id);
        let output = Command::new("docker")
            .args(["ps", "-a", "--filter", &filter, "--format", "{{.ID}} {{.State}}"])
            .output()
            .expect("the engine's client");
        text(&output.stdout).lines().map(str::to_owned).collect()
    }
}

/// The client prints the phase in words somewhere in its document; where is the client's business.
fn phase_of(json: &Value) -> Option<String> {
    match json {
        Value::Object(map) => map
            .get("phase")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .or_else(|| map.values().find_map(phase_of)),
        _ => None,
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Before what they made is removed.
        self.gateway.take();
        self.program.take();
    }
}

/// Every step, with a crash of the gateway between any two.
fn whole_life(driver: Driver) {
    let Some(mut stage) = Stage::set(driver) else { return };
    let image = image();
    let create = ["sandbox", "create", "--name", "one", "--image", &image, "--", "sleep", "300"];
    stage.ok(&create);
    stage.crash();
    stage.ok(&["sandbox", "create", "--name", "two", "--image", &image, "--wait=60", "--", "sleep", "300"]);
    let again = stage.client(&create);
    assert_eq!(again.status.code(), Some(4), "a name that is taken: {}", text(&again.stderr));
    stage.crash();
    let listed = stage.ok(&["sandbox", "list"]);
    assert!(listed.contains("one") && listed.contains("two"), "{listed}");
    assert_eq!(stage.containers().len(), 2);
    stage.ok(&["sandbox", "stop", "one", "--wait=60"]);
    stage.crash();
    assert_eq!(stage.phase("one").to_lowercase(), "stopped");
    assert_eq!(stage.containers().iter().filter(|line| line.ends_with("running")).count(), 1);
    stage.ok(&["sandbox", "start", "one", "--wait=60"]);
    stage.crash();
    assert_eq!(stage.phase("one").to_lowercase(), "ready");
    stage.ok(&["sandbox", "delete", "one", "--wait=60"]);
    stage.crash();
    let gone = stage.client(&["sandbox", "get", "one"]);
    assert_eq!(gone.status.code(), Some(3), "{}", text(&gone.stderr));
    assert_eq!(stage.containers().len(), 1, "the other one is still there");
    stage.ok(&["sandbox", "delete", "two"]);
    stage.crash();
    stage.ok(&["status"]);
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while !stage.containers().is_empty() {
        assert!(std::time::Instant::now() < deadline, "a delete that was acknowledged is not carried out");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let status = stage.gateway.take().expect("a gateway").terminate();
    assert!(status.success(), "SIGTERM ends it in order: {status}");
    if let Some(program) = stage.program.take() {
        assert!(program.terminate().success(), "SIGTERM ends the driver in order");
    }
}

#[test]
fn a_sandbox_lives_through_crashes_of_the_gateway() {
    whole_life(Driver::InProcess);
}

#[test]
fn a_sandbox_lives_the_same_behind_a_socket() {
    whole_life(Driver::BehindSocket);
}

#[test]
fn an_image_that_does_not_exist_is_an_error_in_words_and_can_be_deleted() {
    let Some(stage) = Stage::set(Driver::InProcess) else { return };
    let made = stage.client(&[
        "sandbox",
        "create",
        "--name",
        "bad",
        "--image",
        "openshell-test/no-such:1",
        "--wait=60",
    ]);
    assert!(!made.status.success());
    let shown = format!("{}{}", text(&made.stderr), text(&stage.client(&["sandbox", "get", "bad"]).stdout));
    assert!(shown.contains("openshell-test/no-such:1"), "{shown}");
    assert!(stage.containers().is_empty());
    if stage.client(&["sandbox", "get", "bad"]).status.success() {
        stage.ok(&["sandbox", "delete", "bad", "--wait=60"]);
    }
}
