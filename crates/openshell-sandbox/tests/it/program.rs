//! The program itself, as a driver starts it but for the container around it.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::gateway::{Gateway, PATIENCE, TOKEN};

/// A supervisor with its main process.
pub(crate) struct Program {
    child: Child,
    directory: tempfile::TempDir,
}

impl Program {
    /// Starts it for a gateway, with this main process.
    pub(crate) fn start(gateway: &Gateway, main: &[&str]) -> Self {
        Self::start_at(&format!("unix://{}", gateway.socket().display()), main)
    }

    pub(crate) fn start_at(endpoint: &str, main: &[&str]) -> Self {
        Self::new(endpoint, TOKEN, main, None)
    }

    /// Starts it for a gateway on a network, with this CA.
    pub(crate) fn with_ca(endpoint: &str, ca: &Path) -> Self {
        Self::new(endpoint, TOKEN, &["/bin/sleep", "1000"], Some(ca))
    }

    /// Starts it with another token.
    pub(crate) fn with_token(gateway: &Gateway, token: &str) -> Self {
        Self::new(&format!("unix://{}", gateway.socket().display()), token, &["/bin/echo", "started"], None)
    }

    fn new(endpoint: &str, text: &str, main: &[&str], ca: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let token = directory.path().join("token");
        std::fs::write(&token, format!("{text}\n")).expect("a token file");
        let log = |name: &str| std::fs::File::create(directory.path().join(name)).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_openshell-sandbox"))
            .args(["run", "--"])
            .args(main)
            // What it is started with is known, and may be shown.
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("OPENSHELL_ENDPOINT", endpoint)
            .env("OPENSHELL_SANDBOX_ID", "s-1")
            .env("OPENSHELL_SANDBOX", "one")
            .env("OPENSHELL_SANDBOX_TOKEN_FILE", &token)
            .env("OPENSHELL_MAIN_PROCESS_SPEC", r#"{"version":1,"command":[],"tty":false}"#)
            .envs(ca.map(|ca| ("OPENSHELL_CA_FILE", ca)))
            .stdin(Stdio::null())
            .stdout(log("stdout"))
            .stderr(log("stderr"))
            .kill_on_drop(true)
            .spawn()
            .expect("the program");
        Self { child, directory }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("a program that runs")
    }

    /// What it has printed so far.
    pub(crate) fn printed(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).expect("a log")
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("an end in time").expect("a status")
    }

    /// What it has in memory, in words: all of it, the part that is not the program's file, and the most there ever was.
    pub(crate) fn memory(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
        };
        let (all, own, most) = (line("VmRSS:"), line("RssAnon:"), line("VmHWM:"));
        format!("{all} KiB, {own} KiB of it its own, {most} KiB at most")
    }
}

/// Says so when this is not root: the program starts processes as whomever it is told to, and gives their rights up.
pub(crate) fn is_not_root() -> bool {
    let is_not = !rustix::process::geteuid().is_root();
    if is_not {
        crate::skip::say("the supervisor wants to be root");
    }
    is_not
}

/// Whether any process of the group is there.
pub(crate) fn group_lives(pid: i32) -> bool {
    let group = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::test_kill_process_group(group).is_ok()
}

/// Waits until no process of the group is there.
pub(crate) async fn group_gone(pid: i32) {
    until("the process group is gone", || !group_lives(pid)).await;
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
