//! The program against the gateway itself, where `cargo xtask test` has built it, and a Docker engine behind that.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Run, bare, required};

/// The gateway, and a folder for all that its user's directories would hold; killed when the test is over.
struct Real {
    home: tempfile::TempDir,
    child: Child,
}

impl Real {
    /// Starts one; away, it is printed as skipped.
    fn start(gateway_id: &str) -> Option<Self> {
        let Some(folder) = std::env::var_os("OPENSHELL_TEST_BIN_DIR") else {
            println!(
                "skipped: no program `openshell-gateway`: OPENSHELL_TEST_BIN_DIR is not set (cargo xtask test sets it)"
            );
            return None;
        };
        let program = Path::new(&folder).join("openshell-gateway");
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        let engine = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
        if UnixStream::connect(engine).is_err() {
            required("docker", &format!("no docker engine at {engine}"));
            return None;
        }
        assert!(program.is_file(), "`{}` is missing from OPENSHELL_TEST_BIN_DIR", program.display());
        let home = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(program);
        command.env_clear().env("DOCKER_HOST", format!("unix://{engine}"));
        command.args(["--drivers", "docker", "--gateway-id", gateway_id, "--port", "0"]);
        // Root's own place for sockets is for the machine's gateway.
        command.arg("--listen-socket").arg(home.path().join("gateway.sock"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, path) in Self::variables(home.path()) {
            command.env(name, path);
        }
        let child = command.spawn().expect("the gateway starts");
        Some(Self { home, child })
    }

    fn variables(home: &Path) -> [(&'static str, PathBuf); 4] {
        ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"].map(|name| (name, home.join(name)))
    }

    fn run(&self, line: &str) -> Run {
        let mut command = bare(self.home.path());
        for (name, path) in Self::variables(self.home.path()) {
            command.env(name, path);
        }
        command.args(line.split(' ')).output().expect("the program runs").into()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // Stopped, not killed: it takes its registration back.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn a_gateway_that_runs_here_is_found_by_its_id() {
    let id = format!("cli-it-{}", std::process::id());
    let Some(real) = Real::start(&id) else { return };
    let socket = format!("unix://{}", real.home.path().join("gateway.sock").display());
    real.run(&format!("--gateway {socket} status --wait=30s")).good();

    let listed = real.run("gateway list --json").json();
    let mine = listed.as_array().expect("an array").iter().find(|one| one["name"] == id.as_str());
    let mine = mine.unwrap_or_else(|| panic!("{listed}"));
    assert_eq!((mine["endpoint"].as_str(), mine["running"].as_bool()), (Some(socket.as_str()), Some(true)));

    let on = |line: &str| real.run(&format!("--gateway {id} {line}"));
    let status = on("status --json").json();
    assert_eq!((status["gateway"].as_str(), status["status"].as_str()), (Some(id.as_str()), Some("healthy")));
    assert_eq!(on("sandbox list -o name").good(), "");
    assert!(on("sandbox get nope").bad(3).contains("nope"));
    assert_eq!(on("workspace create team").good(), "team\n");
    assert!(on("workspace list -o name").good().contains("team\n"));
    assert_eq!(on("workspace delete team").good(), "team\n");
    on("workspace get team").bad(3);
}
