//! The program as a process: that a scenario reaches it, that SIGTERM ends it, that mistakes are said.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

fn fake() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openshell-driver-fake"));
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn output(args: &[&str]) -> Output {
    fake().args(args).stderr(Stdio::piped()).output().expect("the program runs")
}

/// Ends with its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(socket: &Path, fault: Option<&str>) -> Self {
        let mut command = fake();
        command.arg("--bind-socket").arg(socket).args(fault.map(|name| format!("--fault={name}")));
        let process = Self(command.spawn().expect("the program starts"));
        let deadline = Instant::now() + Duration::from_secs(60);
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            assert!(Instant::now() < deadline, "nobody listens");
            std::thread::sleep(Duration::from_millis(10));
        }
        process
    }

    fn terminate(&self) {
        let kill = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(kill.expect("kill").success());
    }

    /// Its exit code, if it ends in time.
    fn ended(&mut self, within: Duration) -> Option<i32> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

#[test]
fn sigterm_ends_it_with_0_unless_it_is_told_to_be_deaf() {
    let home = TempDir::new().expect("a directory");
    let socket = home.path().join("run/driver.sock");
    let mut good = Process::start(&socket, None);
    good.terminate();
    assert_eq!(good.ended(Duration::from_secs(60)), Some(0));
    assert!(!socket.exists(), "its file goes with it");

    let mut deaf = Process::start(&socket, Some("ignores-sigterm"));
    deaf.terminate();
    assert_eq!(deaf.ended(Duration::from_millis(500)), None);
}

#[test]
fn mistakes_are_said_with_what_was_meant() {
    let home = TempDir::new().expect("a directory");
    let socket = home.path().join("driver.sock").display().to_string();
    let out = output(&["--bind-socket", &socket, "--fault", "silent-wach"]);
    let said = String::from_utf8(out.stderr).expect("UTF-8");
    assert_eq!(out.status.code(), Some(2));
    assert!(said.contains("`silent-wach` is no fault; did you mean `silent-watch`?"), "{said}");

    let scenario = home.path().join("s.toml").display().to_string();
    std::fs::write(&scenario, "fault = []").expect("a file");
    let out = output(&["--bind-socket", &socket, "--scenario", &scenario]);
    let said = String::from_utf8(out.stderr).expect("UTF-8");
    assert_eq!(out.status.code(), Some(2));
    assert!(said.ends_with("unknown key `fault`\nhint: did you mean `faults`?\n"), "{said}");
}

#[test]
fn the_faults_are_listed() {
    let out = output(&["--list-faults"]);
    let lines = String::from_utf8(out.stdout).expect("UTF-8");
    assert_eq!(lines.lines().count(), openshell_driver_fake::Fault::ALL.len());
    assert!(lines.lines().any(|line| line.starts_with("list-capped ") && line.contains("100")), "{lines}");
}
