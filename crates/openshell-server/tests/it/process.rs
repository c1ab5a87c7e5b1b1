//! Drivers that are programs, which the gateway starts: found, checked, started again when they die, gone when it is.
//! The programs here are a fake of the tests' own and shell scripts; they go by the name of a driver that is one.

use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{BUILT, GATEWAY, Home, PATIENCE, Process, processes, program, required, signal, text};

/// A driver of the manifest that is a program.
const NAME: &str = "vm";

/// What the fake logs when it is asked to start a sandbox that it had.
const STARTS_AGAIN: &str = "the fake starts it again";

/// The fake, which is built with these tests; `None`, and said so, where they are not.
fn fake() -> Option<PathBuf> {
    let path = Path::new(BUILT).with_file_name("examples").join("openshell-driver-fake");
    (path.is_file() || required("programs", &format!("no `{}`", path.display()))).then_some(path)
}

/// A gateway whose driver is a program of the test's.
struct Stage {
    home: Home,
    id: String,
}

impl Stage {
    /// `driver` is what the program is; `table` what else the driver's table says.
    fn new(name: &str, driver: Driver<'_>, table: &str) -> Option<Self> {
        let home = Home::new();
        let path = home.path(&format!("openshell-driver-{NAME}"));
        match driver {
            Driver::Fake => symlink(fake()?, &path).expect("a link"),
            Driver::Script(script) => {
                let version = env!("CARGO_PKG_VERSION");
                let script = format!(
                    "#!/bin/sh\ncase $1 in --version) echo openshell-driver-{NAME} {version}; exit;; \
                     --check-config) exit;; esac\necho $$ >> {}\n{script}\n",
                    home.path("pids").display()
                );
                std::fs::write(&path, script).expect("a script");
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
            }
        }
        let table = format!("[openshell.drivers.{NAME}]\nprogram_path = \"{}\"\n{table}", path.display());
        home.write("gateway.toml", table);
        Some(Self { home, id: format!("e2e-process-{name}-{}", std::process::id()) })
    }

    fn args(&self) -> Vec<String> {
        let config = self.home.path("gateway.toml");
        let args = ["--drivers", NAME, "--no-tcp", "--gateway-id", &self.id, "--config"];
        args.into_iter().map(str::to_owned).chain([config.to_str().expect("UTF-8").to_owned()]).collect()
    }

    fn serve(&self) -> Process {
        let args = self.args();
        self.home.serve(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a gateway that shall not come up: its exit code, and what it says.
    fn fail(&self, more: &[&str]) -> (i32, String) {
        let args = self.args();
        let args: Vec<&str> = more.iter().copied().chain(args.iter().map(String::as_str)).collect();
        let output = self.home.gateway(&args);
        assert!(UnixStream::connect(self.home.socket()).is_err(), "it is bound");
        (output.status.code().expect("an exit code"), text(&output.stderr))
    }

    /// Where the driver listens.
    fn socket(&self) -> PathBuf {
        let base = match rustix::process::geteuid().is_root() {
            true => PathBuf::from("/run/openshell"),
            false => self.home.path("run/openshell"),
        };
        base.join("drivers").join(&self.id).join(format!("{NAME}.sock"))
    }

    /// The processes of this test's program, by their command lines.
    fn drivers(&self) -> Vec<i32> {
        let program = self.home.path(&format!("openshell-driver-{NAME}"));
        processes(&[program.to_str().expect("UTF-8"), "--bind-socket"])
    }

    fn one_driver(&self) -> i32 {
        let drivers = self.drivers();
        assert_eq!(drivers.len(), 1, "{drivers:?}");
        drivers[0]
    }

    /// Waits until it has none any more.
    fn none_left(&self, within: Duration) {
        let deadline = Instant::now() + within;
        while !self.drivers().is_empty() {
            assert!(Instant::now() < deadline, "left behind: {:?}", self.drivers());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The client, where it is built.
    fn client(&self, args: &[&str]) -> Option<std::process::Output> {
        Some(self.home.command(program("openshell")?).args(args).output().expect("the client starts"))
    }

    /// The phase of a sandbox, in lower case.
    fn phase(&self, name: &str) -> String {
        let output = self.client(&["--json", "sandbox", "list"]).expect("the client is there");
        let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut rows = listed.as_array().expect("a list").iter();
        let row = rows.find(|row| row["metadata"]["name"] == name).expect("a sandbox");
        row["status"]["phase"].as_str().expect("a phase").to_lowercase()
    }

    fn until(&self, what: &str, gateway: &Process, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}\n{}", gateway.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

enum Driver<'a> {
    Fake,
    /// What a shell does when it is started as the driver; its pid is in the file `pids`.
    Script(&'a str),
}

fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

fn alive(pid: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn a_program_that_is_not_there_is_an_error_before_anything_is_made() {
    let stage = Stage::new("missing", Driver::Script(""), "").expect("a script needs nothing");
    std::fs::remove_file(stage.home.path(&format!("openshell-driver-{NAME}"))).expect("a file");
    for more in [&["check-config"][..], &[]] {
        let (code, said) = stage.fail(more);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("where `program_path` says that it is"), "{said}");
        assert!(said.contains(&format!("cargo xtask build --drivers {NAME}")), "{said}");
    }
    assert!(!stage.home.path("state").exists() && !stage.home.path("run").exists(), "nothing is made");
}

#[test]
fn drivers_says_where_the_program_is_and_where_it_would_be() {
    let stage = Stage::new("listed", Driver::Script(""), "").expect("a script needs nothing");
    let config = stage.home.path("gateway.toml");
    let config = config.to_str().expect("UTF-8");
    let listed = |args: &[&str]| -> Value {
        let output = stage.home.gateway(args);
        let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut drivers = listed["drivers"].as_array().expect("a list").iter();
        drivers.find(|driver| driver["name"] == NAME).expect("a driver").clone()
    };
    let path = stage.home.path(&format!("openshell-driver-{NAME}"));
    let driver = listed(&["--config", config, "drivers", "--json"]);
    assert_eq!(driver["program_path"], *path.to_string_lossy(), "{driver:#}");
    let beside = GATEWAY.with_file_name(format!("openshell-driver-{NAME}"));
    let driver = listed(&["drivers", "--json"]);
    assert_eq!(driver["program_tried"][0]["candidate"], *beside.to_string_lossy(), "{driver:#}");
}

#[test]
fn the_program_judges_its_own_table_in_its_own_words() {
    let Some(stage) = Stage::new("table", Driver::Fake, "behaves = \"oddly\"\nbad = 1\n") else { return };
    for more in [&["check-config"][..], &[]] {
        let (code, said) = stage.fail(more);
        assert_eq!(code, 2, "{said}");
        for part in ["gateway.toml:3:1", "gateway.toml:4:1", "the fake does not know `bad`", "note: `"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
    }
    assert!(!stage.home.path("state").exists(), "nothing is made");
    let Some(stage) = Stage::new("table", Driver::Fake, "") else { return };
    let args = stage.args();
    let args: Vec<&str> = ["check-config"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let out = text(&stage.home.gateway(&args).stdout);
    assert!(out.contains("program: /"), "{out}");
    assert!(!stage.home.path("state").exists(), "nothing is made");
}

#[test]
fn another_program_or_another_version_of_it_is_said() {
    let stage = Stage::new("version", Driver::Script(""), "").expect("a script needs nothing");
    let path = stage.home.path(&format!("openshell-driver-{NAME}"));
    let write = |version: &str| {
        let script = format!("#!/bin/sh\n[ $1 = --version ] && echo {version}\nexit 0\n");
        std::fs::write(&path, script).expect("a script");
    };
    write("something-else 7");
    let (code, said) = stage.fail(&["check-config"]);
    assert!(
        code == 2 && said.contains("is no driver's answer") && said.contains("something-else 7"),
        "{said}"
    );
    write(&format!("openshell-driver-{NAME} 0.0.7"));
    let args = stage.args();
    let args: Vec<&str> = ["check-config"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let output = stage.home.gateway(&args);
    let out = text(&output.stdout);
    assert!(output.status.success() && out.contains("is of version 0.0.7, and this gateway of"), "{out}");
}

#[test]
fn one_that_dies_at_its_start_is_an_error_with_its_last_words() {
    let Some(stage) = Stage::new("dies", Driver::Fake, "behaves = \"dies\"\n") else { return };
    let (code, said) = stage.fail(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("ended with exit code 1 before it answered; its last words:"), "{said}");
    assert!(said.contains(&format!("the fake of `{}` cannot be opened", stage.id)), "{said}");
    stage.none_left(Duration::ZERO);
    let stage = Stage::new("killed", Driver::Script("kill -9 $$"), "").expect("a script needs nothing");
    let (code, said) = stage.fail(&[]);
    assert!(
        code == 1 && said.contains("was killed by signal 9 before it answered, and said nothing"),
        "{said}"
    );
}

#[test]
fn one_that_hangs_at_its_start_is_given_up_and_ended() {
    // It takes no notice of a signal.
    let script = "trap '' TERM; echo waiting for the moon >&2; while :; do sleep 1; done";
    let stage = Stage::new("hangs", Driver::Script(script), "connect_timeout = \"1s\"\n").expect("a stage");
    let (code, said) = stage.fail(&[]);
    assert_eq!(code, 1, "{said}");
    for part in ["`connect_timeout`", "waiting for the moon", "hint: "] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    stage.none_left(Duration::ZERO);
}

#[test]
fn a_process_that_the_gateway_did_not_start_is_not_talked_to() {
    let Some(fake) = fake() else { return };
    let home = Home::new();
    let real = home.path("real");
    std::fs::create_dir(&real).expect("a directory");
    let real = real.join(format!("openshell-driver-{NAME}"));
    symlink(fake, &real).expect("a link");
    // The one that listens is a child of the one that was started.
    let script = format!("exec 3<&0; {} \"$@\" <&3 & wait", real.display());
    let stage = Stage::new("other", Driver::Script(&script), "").expect("a script needs nothing");
    let (code, said) = stage.fail(&[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another process was to listen there"), "{said}");
    assert!(said.contains("hint: see what it is: ps -o pid,ppid,user,args -p "), "{said}");
    // What that one has started was not the gateway's to end; its life line is, and it takes its socket with it.
    let deadline = Instant::now() + PATIENCE;
    while stage.socket().exists() {
        assert!(Instant::now() < deadline, "it is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    let _gone = std::fs::remove_dir(stage.socket().parent().expect("a directory"));
}

#[test]
fn one_of_a_gateway_that_was_killed_just_now_is_waited_for() {
    let Some(stage) = Stage::new("before", Driver::Fake, "") else { return };
    let socket = stage.socket();
    let mut private = std::fs::DirBuilder::new();
    private.recursive(true).mode(0o700).create(socket.parent().expect("a directory")).expect("a directory");
    let before = UnixListener::bind(&socket).expect("a socket");
    let lets_go = std::thread::spawn(move || {
        // It lets go once it has been looked at.
        before.accept().expect("a look");
    });
    let gateway = stage.serve();
    lets_go.join().expect("an end");
    stage.one_driver();
    assert!(gateway.terminate().success());
}

#[test]
fn nobody_but_the_gateway_gets_in_at_the_program_and_it_sees_its_directory_alone() {
    let Some(stage) = Stage::new("peer", Driver::Fake, "behaves = \"loudly\"\n") else { return };
    let gateway = stage.serve();
    let socket = stage.socket();
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!((mode(&socket), mode(socket.parent().expect("a directory"))), (0o600, 0o700));
    // This process has the same user and is another one.
    let mut stream = UnixStream::connect(&socket).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert_eq!(stream.read(&mut [0; 8]).expect("its end"), 0);
    let refused = format!("pid={}", std::process::id());
    stage.until("refused", &gateway, || gateway.log().contains(&refused));
    assert!(gateway.log().contains("refused a peer that is not allowed"), "{}", gateway.log());

    // Its log is in the gateway's: with its level, marked, bounded, and nothing that was not asked for. It comes by a pipe.
    stage.until("its last words", &gateway, || gateway.log().contains("plain words"));
    let log = gateway.log();
    let line =
        |part: &str| log.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}\n{log}"));
    let wrong = line("something is wrong");
    assert!(wrong.contains("ERROR") && wrong.contains(&format!("driver=\"{NAME}\"")), "{wrong}");
    assert!(wrong.contains("telemetry="), "{wrong}");
    let plain = line("plain words");
    assert!(plain.contains("WARN") && plain.len() < 6000, "{} bytes", plain.len());
    assert!(!log.contains("something is tried"), "{log}");

    // It is told to end, ends its sandboxes, and leaves no socket.
    assert!(gateway.terminate().success());
    let told = std::fs::read_to_string(stage.home.state("drivers").join(NAME).join("shutdown"));
    assert_eq!(told.expect("it was told"), "0 within 10s");
    stage.none_left(Duration::ZERO);
    assert!(!socket.parent().expect("a directory").exists(), "its directory is left");
}

#[test]
fn one_that_is_killed_is_started_again_and_what_ran_in_it_runs_again() {
    let Some(stage) = Stage::new("restart", Driver::Fake, "") else { return };
    if program("openshell").is_none() {
        return;
    }
    let gateway = stage.serve();
    let ok = |args: &[&str]| {
        let output = stage.client(args).expect("the client is there");
        assert!(output.status.success(), "{args:?}: {}\n{}", text(&output.stderr), gateway.log());
    };
    for name in ["runs", "rests"] {
        ok(&["sandbox", "create", "--name", name, "--image", "i", "--wait=60", "--", "x"]);
    }
    ok(&["sandbox", "stop", "rests", "--wait=60"]);
    let times = |words: &str| gateway.log().matches(words).count();
    let mut killed = 0;
    loop {
        let first = stage.one_driver();
        kill(first);
        killed += 1;
        // Meanwhile the gateway answers, and says what is wrong and when it is tried again.
        stage.until("noticed", &gateway, || times("was killed by signal 9; it is started again") == killed);
        let create = stage.client(&["sandbox", "create", "--name", "late", "--image", "i", "--", "x"]);
        let create = create.expect("the client is there");
        stage.until("up again", &gateway, || times("the driver's program is up again") == killed);
        assert_ne!(stage.one_driver(), first);
        stage.until("started again", &gateway, || times(STARTS_AGAIN) == killed);
        let said = text(&create.stderr);
        if said.contains("the driver's program was killed by signal 9; it is ") {
            break;
        }
        // It was up before the client asked: the pause before that is twice as long the next time.
        assert!(create.status.success() && killed < 4, "{said}");
        ok(&["sandbox", "delete", "late", "--wait=60"]);
        stage.until("running again", &gateway, || stage.phase("runs") == "ready");
    }
    stage.until("running again", &gateway, || stage.phase("runs") == "ready");
    assert_eq!(stage.phase("rests"), "stopped", "what was stopped stays so");

    // The gateway is stopped in order, and starts what ran in a driver that has ended with it.
    assert!(gateway.terminate().success());
    let told = std::fs::read_to_string(stage.home.state("drivers").join(NAME).join("shutdown"));
    assert_eq!(told.expect("it was told"), "1 within 10s");
    stage.none_left(Duration::ZERO);
    let gateway = stage.serve();
    // The log goes on where the one before has ended.
    let again = || gateway.log().matches(STARTS_AGAIN).count() == killed + 1;
    stage.until("started again", &gateway, again);
    stage.until("running again", &gateway, || stage.phase("runs") == "ready");
    assert_eq!(stage.phase("rests"), "stopped", "what was stopped stays so");
    assert!(gateway.terminate().success());
}

#[test]
fn one_that_does_not_end_with_the_gateway_is_killed() {
    let Some(stage) = Stage::new("frozen", Driver::Fake, "") else { return };
    let gateway = stage.serve();
    signal(stage.one_driver(), Signal::STOP);
    let begun = Instant::now();
    assert!(gateway.terminate().success());
    assert!(begun.elapsed() >= Duration::from_secs(15), "it had no time: {:?}", begun.elapsed());
    stage.none_left(Duration::ZERO);
}

#[test]
fn a_gateway_that_is_killed_leaves_no_driver_whichever_goes_first() {
    let Some(stage) = Stage::new("orphan", Driver::Fake, "") else { return };
    for order in ["gateway", "driver, gateway", "gateway, driver", "driver, driver, gateway", "stop, gateway"]
    {
        let mut gateway = Some(stage.serve());
        for which in order.split(", ") {
            match which {
                "gateway" => gateway.take().expect("one gateway").kill(),
                // What is stopped sees nothing end.
                "stop" => signal(stage.one_driver(), Signal::STOP),
                _ => stage.drivers().into_iter().filter(|pid| alive(*pid)).for_each(kill),
            }
        }
        println!("{order}");
        stage.none_left(PATIENCE);
    }
    // What was left of all that is in nobody's way.
    let gateway = stage.serve();
    stage.one_driver();
    assert!(gateway.terminate().success());
}
