//! What the tests stand on: a folder for one gateway, its process, the client, and what may be away.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{IpAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use openshell_core::Environment;
use openshell_core::registration::{self, Registration};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything here may take before a test gives up on it: a machine without KVM boots for half a minute on a host
/// that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The gateway as it was built, among whatever else was.
pub(crate) const BUILT: &str = env!("CARGO_BIN_EXE_openshell-gateway");

/// The gateway of this build, in a folder with nothing beside it: it looks there for a supervisor, and whether one was built
/// is no test's business that does not say so.
pub(crate) static GATEWAY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone");
    std::fs::create_dir_all(&folder).expect("a directory");
    // Test programs run side by side: a link is made whole, or is there already.
    let (path, made) =
        (folder.join("openshell-gateway"), folder.with_file_name(format!("link-{}", std::process::id())));
    std::fs::hard_link(BUILT, &made).expect("a link beside what was built");
    std::fs::rename(&made, &path).expect("the link in its place");
    // Two links of one file are not renamed.
    let _ = std::fs::remove_file(made);
    path
});

/// A program of another package, from the folder that `cargo xtask test` built; `None`, and said so, without it.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("OPENSHELL_TEST_BIN_DIR") else {
        required(
            "programs",
            &format!("no program `{name}`: OPENSHELL_TEST_BIN_DIR is not set (cargo xtask test sets it)"),
        );
        return None;
    };
    let path = Path::new(&folder).join(name);
    assert!(path.is_file(), "`{}` is missing from OPENSHELL_TEST_BIN_DIR", path.display());
    Some(path)
}

/// Says that a test is skipped because `what` is away, and gives false; where OPENSHELL_TEST_REQUIRE names it, the test
/// fails.
pub(crate) fn required(what: &str, why: &str) -> bool {
    let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == what), "{what} is required, and there is {why}");
    println!("skipped: {why}");
    false
}

/// A folder in which one gateway lives, with everything that its user's directories would hold.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("gateway.sock")
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a file in the test's folder");
        path
    }

    /// A program whose user's directories are all in here, with an environment of its own.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null());
        for name in ["PATH", "DOCKER_HOST", "OPENSHELL_PODMAN_SOCKET", "KUBECONFIG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("OPENSHELL_LISTEN_SOCKET", self.socket())
            // Any free one: tests run side by side, and beside a gateway of this machine.
            .env("OPENSHELL_SERVER_PORT", "0")
            .env("OPENSHELL_GATEWAY_SOCKET", self.socket());
        command
    }

    /// The gateway, to run with these arguments until it ends by itself.
    pub(crate) fn gateway(&self, args: &[&str]) -> Output {
        let child = self.command(&*GATEWAY).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        wait_with_output(child.expect("the gateway starts"))
    }

    /// The gateway that listens here, as it registered itself.
    pub(crate) fn registered(&self) -> Option<Registration> {
        let uid = rustix::process::geteuid().as_raw();
        let env = Environment::new([("XDG_RUNTIME_DIR", self.path("run"))], uid);
        registration::live(&env).into_iter().find(|found| found.socket == self.socket())
    }

    /// Where the gateway with this id listens for TCP: the scheme, and host and port.
    pub(crate) fn endpoint(&self, gateway_id: &str) -> (String, String) {
        let found = self.registered().expect("a registered gateway");
        assert_eq!(found.gateway_id, gateway_id);
        let endpoint = found.endpoint.expect("a TCP listener");
        let (scheme, address) = endpoint.split_once("://").expect("a URL");
        (scheme.to_owned(), address.to_owned())
    }

    /// The state directory of the gateway in here.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.path("state/openshell/gateway").join(name)
    }

    /// What is in its token's file.
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.state("token")).expect("a token").trim_end().to_owned()
    }

    /// Starts a program in the background; its log is in `<name>.log`.
    pub(crate) fn spawn(&self, name: &str, mut command: Command) -> Process {
        let log = self.path(&format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log");
        let child = command
            .stdout(file.try_clone().expect("a log"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("`{name}` does not start: {error}"));
        Process { child, log }
    }

    /// Starts the gateway and waits until it listens.
    pub(crate) fn serve(&self, args: &[&str]) -> Process {
        self.serve_with(args, &[])
    }

    /// The same, with more in its environment.
    pub(crate) fn serve_with(&self, args: &[&str], environment: &[(&str, &Path)]) -> Process {
        let mut command = self.command(&*GATEWAY);
        command.args(args).envs(environment.iter().copied());
        let mut process = self.spawn("gateway", command);
        process.wait_for_socket(&self.socket());
        let deadline = Instant::now() + PATIENCE;
        // The last thing that a start does.
        while self.registered().is_none() {
            assert!(Instant::now() < deadline, "it does not register itself\n{}", process.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        process
    }
}

fn wait_with_output(mut child: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let output = child.wait_with_output().expect("a child");
            panic!("it did not end by itself:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("a child")
}

/// A program in the background, killed when the test is over.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Waits until somebody answers at the socket; fails when the program ends before.
    pub(crate) fn wait_for_socket(&mut self, socket: &Path) {
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(socket).is_err() {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`, and wait for its end.
    pub(crate) fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and the exit status.
    pub(crate) fn terminate(self) -> std::process::ExitStatus {
        kill_process(self.pid(), Signal::TERM).expect("a signal");
        self.wait()
    }

    /// Waits until it ends by itself, and gives the exit status.
    pub(crate) fn wait(mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The bytes of memory that it holds.
    pub(crate) fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it ever held of its own: without the pages of its program, which are many in a build for tests.
    pub(crate) fn peak(&self) -> u64 {
        self.memory("VmHWM:").saturating_sub(self.memory("RssFile:"))
    }

    fn memory(&self, figure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix(figure)).expect("a figure");
        line.trim_end_matches("kB").trim().parse::<u64>().expect("a number") << 10
    }

    /// How many files and sockets it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("a process").count()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// The live processes whose command lines contain all of these.
pub(crate) fn processes(parts: &[&str]) -> Vec<i32> {
    processes_by("cmdline", |line| parts.iter().all(|part| line.contains(part)))
}

/// The live processes that were started with this `NAME=value`, in whatever container.
pub(crate) fn processes_given(variable: &str) -> Vec<i32> {
    processes_by("environ", |environment| environment.split('\0').any(|found| found == variable))
}

/// Whether a process is the first of a container, which takes the others along.
pub(crate) fn is_first(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    ids.and_then(|ids| ids.split_whitespace().last()) == Some("1")
}

/// The live processes with such a file in `/proc`. One that has ended and was not waited for has an empty one.
fn processes_by(file: &str, wanted: impl Fn(&str) -> bool) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if wanted(&text(&std::fs::read(entry.path().join(file)).unwrap_or_default())) {
            found.push(pid);
        }
    }
    found
}

/// A free port of 127.0.0.1; see [`free_port_at`].
pub(crate) fn free_port() -> u16 {
    free_port_at([127, 0, 0, 1].into())
}

/// A free port of an address below those that the kernel hands out: nobody who asks for any port is given it while the one
/// who is to listen there is away.
pub(crate) fn free_port_at(address: IpAddr) -> u16 {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Test programs run side by side, and begin at places of their own.
    let begin = u16::try_from(std::process::id() % 10_000).unwrap_or_default();
    loop {
        let port = 20_000 + (begin + TRIED.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind((address, port)).is_ok() {
            return port;
        }
    }
}

/// Sends a signal to a process of the test's.
pub(crate) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("a signal");
}

/// Output as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
