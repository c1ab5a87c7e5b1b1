//! The program as the first process of a process namespace, as in a sandbox: the main process, its output, signals,
//! orphans, what the sandbox can see of the supervisor.

mod skip;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_openshell-sandbox");

/// Whether process namespaces can be made here. If not, that is said.
fn namespaces() -> bool {
    let made = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    let there = made.is_ok_and(|made| made.status.success());
    if !there {
        skip::say("`unshare --pid --mount-proc` is not allowed here");
    }
    there
}

/// The supervisor as a namespace's first process, with these flags, this specification and these words.
fn supervisor(flags: &[&str], spec: Option<&str>, words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", PROGRAM, "run"])
        .args(flags)
        .arg("--")
        .args(words);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin").stdin(Stdio::null());
    if let Some(spec) = spec {
        command.env("OPENSHELL_MAIN_PROCESS_SPEC", spec);
    }
    command
}

fn run(flags: &[&str], spec: Option<&str>, words: &[&str]) -> Output {
    supervisor(flags, spec, words).output().expect("unshare")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn the_main_process_is_exactly_what_is_given() {
    if !namespaces() {
        return;
    }
    let spec = r#"{"version":1,"command":["printf","%s.","a b","$HOME","*",""]}"#;
    let output = run(&[], Some(spec), &["not", "this"]);
    assert_eq!((text(&output.stdout).as_str(), code(&output)), ("a b.$HOME.*..", Some(0)));
    // Without a command in it: the image's; without those: a shell, which has nothing to read here.
    assert_eq!(text(&run(&[], Some(r#"{"version":1}"#), &["echo", "the image's"]).stdout), "the image's\n");
    assert_eq!(code(&run(&[], None, &[])), Some(0));
    let mut shell =
        supervisor(&[], None, &[]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare");
    std::io::Write::write_all(&mut shell.stdin.take().expect("its input"), b"echo read; exit 8\n")
        .expect("written");
    let output = shell.wait_with_output().expect("its end");
    assert_eq!((text(&output.stdout).as_str(), code(&output)), ("read\n", Some(8)));
}

#[test]
fn output_goes_on_byte_for_byte_and_whole() {
    if !namespaces() {
        return;
    }
    let output = run(
        &[],
        None,
        &["sh", "-c", "head -c 3000000 /dev/zero; printf '\\377\\n\\r' ; echo err >&2; exit 3"],
    );
    assert_eq!(output.stdout.len(), 3_000_003);
    assert_eq!(&output.stdout[3_000_000..], b"\xff\n\r");
    assert!(text(&output.stderr).ends_with("err\n"), "{}", text(&output.stderr));
    assert_eq!(code(&output), Some(3));
}

#[test]
fn how_it_ends_is_how_the_supervisor_ends() {
    if !namespaces() {
        return;
    }
    for (script, expected) in
        [("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
    {
        assert_eq!(code(&run(&[], None, &["sh", "-c", script])), Some(expected), "{script}");
    }
    let missing = run(&[], None, &["/no/such"]);
    assert_eq!(code(&missing), Some(127));
    assert!(
        text(&missing.stderr)
            .contains("cannot start the main process: `/no/such`: the image has no such program")
    );
    assert_eq!(code(&run(&[], None, &["/etc/passwd"])), Some(126));
    for (flags, spec, words) in [
        (&["--user", "nobody-here"][..], None, "the image has no user `nobody-here`"),
        (&[][..], Some("{"), "`OPENSHELL_MAIN_PROCESS_SPEC` is no specification"),
    ] {
        let output = run(flags, spec, &["true"]);
        assert_eq!(code(&output), Some(125), "{words}");
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
}

/// The number of the supervisor outside of its namespace: the one child of `unshare`.
fn inside(unshare: &Child) -> String {
    let path = format!("/proc/{0}/task/{0}/children", unshare.id());
    let begun = Instant::now();
    loop {
        let children = std::fs::read_to_string(&path).unwrap_or_default();
        if let Some(child) = children.split_whitespace().next() {
            return child.to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "no child");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(process: &str, name: &str) {
    assert!(Command::new("kill").args(["-s", name, process]).status().expect("kill").success());
}

/// Reads until there are these words.
fn until(from: &mut impl Read, words: &str) -> String {
    let mut got = Vec::new();
    let mut byte = [0];
    while !text(&got).contains(words) {
        assert_eq!(from.read(&mut byte).expect("read"), 1, "its end, after `{}`", text(&got));
        got.push(byte[0]);
    }
    text(&got)
}

#[test]
fn signals_are_the_main_processes() {
    if !namespaces() {
        return;
    }
    for name in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH"] {
        let script =
            format!("trap 'echo got {name}; exit 40' {name}; echo ready; while :; do sleep 0.05; done");
        let mut child =
            supervisor(&[], None, &["sh", "-c", &script]).stdout(Stdio::piped()).spawn().expect("unshare");
        let mut stdout = child.stdout.take().expect("its output");
        until(&mut stdout, "ready\n");
        signal(&inside(&child), name);
        assert_eq!(until(&mut stdout, "\n"), format!("got {name}\n"));
        assert_eq!(child.wait().expect("its end").code(), Some(40), "{name}");
    }
}

#[test]
fn orphans_are_reaped_and_end_with_the_main_process() {
    if !namespaces() {
        return;
    }
    // Fifty orphans that end, which is waited for as long as a busy machine may need; one that does not, with the output
    // open, is not.
    let script = "count() { ls -d /proc/[0-9]* | wc -l; }; before=$(count); \
        for i in $(seq 50); do (sh -c 'sleep 0.2; exit 9' &); done; sleep 0.5; \
        n=0; while test $(count) -gt $before && test $n -lt 300; do n=$((n + 1)); sleep 0.2; done; \
        grep -l '^State:.Z' /proc/[0-9]*/status | wc -l; (setsid sleep 1000 &); exit 5";
    let begun = Instant::now();
    let output = run(&[], None, &["sh", "-c", script]);
    assert_eq!((text(&output.stdout).as_str(), code(&output)), ("0\n", Some(5)));
    assert!(begun.elapsed() < Duration::from_secs(500), "{:?}", begun.elapsed());
}

#[test]
fn has_a_terminal_where_one_is_asked_for() {
    if !namespaces() {
        return;
    }
    let spec =
        r#"{"version":1,"tty":true,"command":["sh","-c","test -t 0 && tty && stty size && echo $TERM"]}"#;
    let output = run(&["--user", "1000:1000"], Some(spec), &[]);
    let said = text(&output.stdout);
    assert!(said.starts_with("/dev/pts/") && said.ends_with("\r\n24 80\r\nxterm\r\n"), "{said}");
}

#[test]
fn the_sandbox_sees_nothing_of_the_supervisor() {
    if !namespaces() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, "osb1.the-token").expect("a file");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o400)).expect("a mode");
    let script = "id -u; env; for name in environ mem maps fd/0 exe cwd auxv stack syscall; do \
        head -c 1 /proc/1/$name >/dev/null 2>&1 && echo \"can read $name\"; done; \
        test $(id -u) = 0 || cat \"$0\" 2>/dev/null; ls -l /proc/1/fd 2>/dev/null; grep -E '^(CapEff|CapPrm|NoNewPrivs)' /proc/self/status; echo done";
    for (user, uid) in [("1000:1000", "1000"), ("0", "0")] {
        let file = token.display().to_string();
        let mut command = supervisor(&["--user", user], None, &["sh", "-c", script, &file]);
        command
            .env("OPENSHELL_ENDPOINT", "unix:///no/gateway.sock")
            .env("OPENSHELL_SANDBOX_ID", "an-id")
            .env("OPENSHELL_SANDBOX_TOKEN_FILE", &token)
            .env("OPENSHELL_MAIN_PROCESS_SPEC", r#"{"version":1}"#);
        let output = command.output().expect("unshare");
        let said = text(&output.stdout);
        assert!(said.starts_with(&format!("{uid}\n")) && said.ends_with("done\n"), "{said}");
        assert!(
            said.contains("CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1"),
            "{said}"
        );
        assert!(said.contains("OPENSHELL_SANDBOX_ID=an-id"), "{said}");
        for secret in ["osb1.", "OPENSHELL_ENDPOINT", "TOKEN_FILE", "MAIN_PROCESS_SPEC", "can read"] {
            assert!(!said.contains(secret), "{user}: {secret} in {said}");
        }
        assert!(!text(&output.stderr).contains("osb1."), "{}", text(&output.stderr));
    }
}

/// As in a pod, whose memory holds the token and whose volumes have a group.
#[test]
fn a_token_that_comes_anew_is_gone_before_anything_else_begins_and_further_groups_are_there() {
    if !namespaces() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, "osb1.the-token").expect("a file");
    let flags = ["--user", "0:5", "--groups", "9,5,7", "--forget-token"];
    let file = token.display().to_string();
    let mut command = supervisor(&flags, None, &["sh", "-c", "id -G; test -e \"$0\" && echo there", &file]);
    command
        .env("OPENSHELL_ENDPOINT", "unix:///no/gateway.sock")
        .env("OPENSHELL_SANDBOX_ID", "an-id")
        .env("OPENSHELL_SANDBOX_TOKEN_FILE", &token);
    let output = command.output().expect("unshare");
    assert_eq!(text(&output.stdout), "5 7 9\n", "{}", text(&output.stderr));
    assert!(!token.exists());
}

#[test]
fn a_containers_capabilities_are_enough() {
    if !namespaces() {
        return;
    }
    let script = "id -u; grep -E '^Cap(Eff|Bnd)' /proc/self/status; tty >/dev/null && echo terminal; echo out >/dev/stdout";
    let none = "CapEff:\t0000000000000000";
    for (capabilities, bounding, flags, effective) in [
        // Setting its own takes a capability; without that, what was there stays there, and stays out of reach.
        ("+setuid,+setgid,+kill,+setpcap", "0000000000000000", &["--user", "1000"][..], none),
        ("+setuid,+setgid,+kill", "00000000000000e0", &["--user", "1000"], none),
        ("+setuid,+setgid,+kill", "00000000000000e0", &[], none),
        // What root is to keep.
        (
            "+setuid,+setgid,+kill,+setpcap,+net_admin",
            "0000000000001000",
            &["--capabilities", "1000"],
            "CapEff:\t0000000000001000",
        ),
        (
            "+setuid,+setgid,+kill,+setpcap,+net_admin",
            "0000000000001000",
            &["--user", "1000", "--capabilities", "1000"],
            none,
        ),
    ] {
        for tty in [false, true] {
            let spec = format!(r#"{{"version":1,"tty":{tty}}}"#);
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "setpriv", "--no-new-privs"]);
            command.args([
                "--inh-caps",
                "-all",
                "--bounding-set",
                &format!("-all,{capabilities}"),
                PROGRAM,
                "run",
            ]);
            command.args(flags).args(["--", "sh", "-c", script]).env("OPENSHELL_MAIN_PROCESS_SPEC", spec);
            let output = command.stdin(Stdio::null()).output().expect("unshare");
            let uid = if flags.contains(&"1000") && flags.contains(&"--user") { 1000 } else { 0 };
            let terminal = if tty { "terminal\n" } else { "" };
            let expected = format!("{uid}\n{effective}\nCapBnd:\t{bounding}\n{terminal}out\n");
            let said = text(&output.stdout).replace('\r', "");
            assert_eq!(said, expected, "{capabilities} {flags:?} {}", text(&output.stderr));
        }
    }
}

#[test]
fn the_version_is_said_and_nonsense_refused() {
    let output = Command::new(PROGRAM).arg("--version").output().expect("the program");
    assert_eq!(text(&output.stdout), format!("openshell-sandbox {}\n", env!("CARGO_PKG_VERSION")));
    let output = Command::new(PROGRAM).arg("walk").output().expect("the program");
    assert_eq!(code(&output), Some(2));
    assert!(text(&output.stderr).contains("usage: openshell-sandbox run"));
}
