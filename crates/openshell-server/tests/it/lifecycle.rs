//! A sandbox's whole life on every real backend, driven by the client, with the gateway killed between any two steps:
//! the driver in process, with a supervisor where it delivers one, and the same driver as a program behind a socket, without.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::backend::{Backend, DOCKER, KUBERNETES, Leftovers, PODMAN, VM};
use crate::harness::{Home, PATIENCE, Process, processes, program, signal, text};

/// A main process that runs until it is told to stop, and ends with exit code 7 where it finds that it was told so before:
/// its workspace was kept.
const RUNS_ONCE: &str =
    "test -e /sandbox/mark && exit 7; trap 'touch /sandbox/mark || exit 8; exit 0' TERM; sleep 300 & wait";
/// How long a shell that leaves its file behind may take to find it, at the first try.
const UNHEARD: Duration = Duration::from_secs(40);
/// One that runs again and again.
pub(crate) const RUNS: &str = "trap 'exit 0' TERM; sleep 300 & wait";

/// How the gateway reaches the driver.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Driver {
    /// In process, or as a program that the gateway starts: as `--drivers` has it.
    ByName,
    BehindSocket,
}

/// One gateway, its client, and where needed the driver's program.
pub(crate) struct Stage {
    pub(crate) backend: Backend,
    pub(crate) home: Home,
    client: PathBuf,
    supervisor: PathBuf,
    driver: Driver,
    program: Option<Process>,
    pub(crate) gateway: Option<Process>,
    pub(crate) id: String,
    _leftovers: Leftovers,
}

impl Stage {
    /// `None` when something that it needs is away.
    pub(crate) fn set(backend: Backend, driver: Driver) -> Option<Self> {
        if !backend.is_there() {
            return None;
        }
        let (client, supervisor) = (program("openshell")?, program("openshell-sandbox")?);
        let home = Home::new();
        static STAGES: AtomicU32 = AtomicU32::new(0);
        // Tests run side by side, and the last of the numbers is not the beginning of another.
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let id = format!("e2e-{}-{number}-x", std::process::id());
        let leftovers = Leftovers(backend, id.clone());
        let mut stage = Self {
            backend,
            home,
            client,
            supervisor,
            driver,
            program: None,
            gateway: None,
            id,
            _leftovers: leftovers,
        };
        assert_eq!(backend.resources(&stage.home, &stage.id), [""; 0], "before anything is made");
        if driver == Driver::BehindSocket {
            let mut command = stage.home.command(program(&backend.program())?);
            let socket = stage.home.path("driver.sock");
            command.arg("--bind-socket").arg(&socket).args(["--gateway-id", &stage.id]);
            command.args(backend.arguments(&stage.home));
            let mut process = stage.home.spawn("driver", command);
            process.wait_for_socket(&socket);
            stage.program = Some(process);
        }
        stage.start_gateway();
        Some(stage)
    }

    pub(crate) fn start_gateway(&mut self) {
        let socket = self.home.path("driver.sock");
        let socket = socket.to_str().expect("UTF-8");
        let configured = self.backend.arguments(&self.home);
        let mut args = vec!["--gateway-id", &self.id];
        match self.driver {
            Driver::ByName => {
                args.extend(["--drivers", self.backend.name]);
                args.extend(configured.iter().map(String::as_str));
            }
            Driver::BehindSocket => args.extend(["--compute-driver-socket", socket]),
        }
        // Goes into the sandboxes of a driver in process that delivers one; behind a socket there is none.
        let supervisor: (&str, &Path) = ("OPENSHELL_SUPERVISOR_PATH", &self.supervisor);
        self.gateway = Some(self.home.serve_with(&args, &[supervisor]));
    }

    /// The program of a driver that the gateway started.
    pub(crate) fn programs(&self) -> Vec<i32> {
        processes(&["--launched-by", &self.id])
    }

    /// `kill -9` of the gateway, and a new one; before it of a program that it started, which would end its machines in
    /// order.
    pub(crate) fn crash(&mut self) {
        self.programs().into_iter().for_each(|pid| signal(pid, Signal::KILL));
        if let Some(gateway) = self.gateway.take() {
            gateway.kill();
        }
        self.start_gateway();
    }

    pub(crate) fn client(&self, args: &[&str]) -> Output {
        self.home.command(&self.client).args(args).output().expect("the client starts")
    }

    /// The client, which has to succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.client(args);
        let log = self.gateway.as_ref().map(Process::log).unwrap_or_default();
        assert!(output.status.success(), "{args:?}: {}\n{log}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A document about a sandbox, when it has this phase at last.
    pub(crate) fn wait_for_phase(&self, name: &str, phase: &str) -> Value {
        self.phase_within(name, phase, PATIENCE)
            .unwrap_or_else(|json| panic!("`{name}` does not get {phase}: {json:#}"))
    }

    /// The same; the last document when that takes longer.
    fn phase_within(&self, name: &str, phase: &str, patience: Duration) -> Result<Value, Value> {
        let deadline = Instant::now() + patience;
        loop {
            let json: Value =
                serde_json::from_str(&self.ok(&["--json", "sandbox", "get", name])).expect("JSON");
            if phase_of(&json).is_some_and(|found| found.eq_ignore_ascii_case(phase)) {
                return Ok(json);
            }
            if Instant::now() >= deadline {
                return Err(json);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until this many sandboxes run on the backend.
    pub(crate) fn wait_for_running(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let running = self.backend.running(&self.home, &self.id);
            if running == count {
                return;
            }
            assert!(Instant::now() < deadline, "{running} run, not {count}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until the backend has nothing of this gateway.
    pub(crate) fn wait_for_nothing(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.backend.resources(&self.home, &self.id);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left on the backend:\n{}", left.join("\n"));
            std::thread::sleep(Duration::from_millis(200));
        }
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
fn whole_life(backend: Backend, driver: Driver) {
    let Some(mut stage) = Stage::set(backend, driver) else { return };
    let image = (backend.image)();
    let shell = |name, script| {
        ["sandbox", "create", "--name", name, "--image", &image, "--wait=120", "--", "sh", "-c", script]
    };
    let create = ["sandbox", "create", "--name", "one", "--image", &image, "--", "sh", "-c", RUNS_ONCE];
    stage.ok(&create);
    stage.crash();
    stage.ok(&shell("two", RUNS));
    let again = stage.client(&create);
    assert_eq!(again.status.code(), Some(4), "a name that is taken: {}", text(&again.stderr));
    stage.crash();
    let listed = stage.ok(&["sandbox", "list"]);
    assert!(listed.contains("one") && listed.contains("two"), "{listed}");
    for name in ["one", "two"] {
        stage.wait_for_phase(name, "ready");
    }
    stage.wait_for_running(2);
    stage.ok(&["sandbox", "stop", "one", "--wait=120"]);
    stage.ok(&["sandbox", "stop", "two", "--wait=120"]);
    stage.crash();
    for name in ["one", "two"] {
        stage.wait_for_phase(name, "stopped");
    }
    stage.wait_for_running(0);
    stage.ok(&["sandbox", "start", "two", "--wait=120"]);
    stage.crash();
    stage.wait_for_phase("two", "ready");
    stage.wait_for_running(1);
    // It finds its own file of before, and says so by its exit code.
    let mut tries = 0;
    let ended = loop {
        stage.ok(&["sandbox", "start", "one"]);
        tries += 1;
        match stage.phase_within("one", "error", UNHEARD * tries) {
            Ok(ended) => break ended,
            Err(json) => assert!(tries < 3, "the workspace was not kept: {json:#}"),
        }
        // The order to end came before the shell listened to it, and ended it without a word: once more, now that it does.
        stage.ok(&["sandbox", "stop", "one", "--wait=120"]);
    };
    assert!(ended.to_string().contains("exit code 7"), "the workspace was not kept: {ended:#}");
    stage.crash();
    stage.ok(&["sandbox", "create", "--name", "bad", "--image", &image, "--", "sh", "-c", "sleep 1; exit 3"]);
    let crashed = stage.wait_for_phase("bad", "error");
    assert!(crashed.to_string().contains("exit code 3"), "{crashed:#}");
    stage.crash();
    stage.wait_for_phase("bad", "error");
    stage.wait_for_running(1);
    stage.ok(&["sandbox", "delete", "bad", "--wait=120"]);
    stage.ok(&["sandbox", "delete", "one", "--wait=120"]);
    stage.crash();
    let gone = stage.client(&["sandbox", "get", "one"]);
    assert_eq!(gone.status.code(), Some(3), "{}", text(&gone.stderr));
    // The other one is still there, or there again: a virtual machine ends with its driver.
    stage.wait_for_running(1);
    stage.ok(&["sandbox", "delete", "two"]);
    stage.crash();
    stage.ok(&["status"]);
    stage.wait_for_nothing();
    let status = stage.gateway.take().expect("a gateway").terminate();
    assert!(status.success(), "SIGTERM ends it in order: {status}");
    if let Some(program) = stage.program.take() {
        assert!(program.terminate().success(), "SIGTERM ends the driver in order");
    }
}

#[test]
fn a_sandbox_lives_through_crashes_of_the_gateway_on_docker() {
    whole_life(DOCKER, Driver::ByName);
}

#[test]
fn a_sandbox_lives_the_same_behind_a_socket_on_docker() {
    whole_life(DOCKER, Driver::BehindSocket);
}

#[test]
fn an_image_that_does_not_exist_is_an_error_in_words_and_can_be_deleted() {
    let Some(stage) = Stage::set(DOCKER, Driver::ByName) else { return };
    let made = stage.client(&[
        "sandbox",
        "create",
        "--name",
        "bad",
        "--image",
        "openshell-test/no-such:1",
        "--wait=120",
    ]);
    assert!(!made.status.success());
    let shown = format!("{}{}", text(&made.stderr), text(&stage.client(&["sandbox", "get", "bad"]).stdout));
    assert!(shown.contains("openshell-test/no-such:1"), "{shown}");
    assert_eq!(stage.backend.resources(&stage.home, &stage.id), [""; 0]);
    if stage.client(&["sandbox", "get", "bad"]).status.success() {
        stage.ok(&["sandbox", "delete", "bad", "--wait=120"]);
    }
}

#[test]
fn a_sandbox_lives_through_crashes_of_the_gateway_on_podman() {
    whole_life(PODMAN, Driver::ByName);
}

#[test]
fn a_sandbox_lives_the_same_behind_a_socket_on_podman() {
    whole_life(PODMAN, Driver::BehindSocket);
}

#[test]
fn a_sandbox_lives_through_crashes_of_the_gateway_on_kubernetes() {
    whole_life(KUBERNETES, Driver::ByName);
}

#[test]
fn a_sandbox_lives_the_same_behind_a_socket_on_kubernetes() {
    whole_life(KUBERNETES, Driver::BehindSocket);
}

#[test]
fn a_sandbox_lives_through_crashes_of_the_gateway_in_a_machine_of_its_own() {
    whole_life(VM, Driver::ByName);
}

#[test]
fn a_sandbox_lives_the_same_behind_a_socket_in_a_machine_of_its_own() {
    whole_life(VM, Driver::BehindSocket);
}
