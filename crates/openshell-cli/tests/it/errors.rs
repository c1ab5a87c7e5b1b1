//! What the program says and how it exits when something is wrong.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::SandboxPhase;
use tonic::{Code, Status};

use crate::fake::{Gateway, sandbox, seen};
use crate::{Run, line, openshell};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn nothing_at_the_socket() {
    let dir = scratch();
    let path = dir.path().join("gateway.sock");
    let shown = path.display();
    assert_eq!(
        line(&path, "status").bad(5),
        format!(
            "error: cannot reach the gateway\n  caused by: there is nothing at `{shown}`\n\
             hint: start a gateway: openshell-gateway --listen-socket {shown}\n\
             hint: or name another gateway's socket with --gateway-socket or OPENSHELL_GATEWAY_SOCKET\n"
        )
    );
}

#[test]
fn a_gateway_that_comes_up_late_is_waited_for() {
    let dir = scratch();
    let path = dir.path().join("gateway.sock");
    let began = Instant::now();
    let err = line(&path, "status --wait=300ms").bad(5);
    assert!(err.contains("there is nothing at") && began.elapsed() >= Duration::from_millis(200), "{err}");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    assert!(line(&file, "status --wait=1h").bad(5).contains("is a regular file"), "said at once");

    let waiting = openshell(&path)
        .args(["status", "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    std::thread::sleep(Duration::from_millis(200));
    let _gateway = Gateway::start_in(dir);
    let out = Run::from(waiting.wait_with_output().expect("its end")).good();
    assert!(out.starts_with("gateway:  healthy"), "{out}");
}

#[test]
fn nobody_at_the_socket() {
    let dir = scratch();
    let path = dir.path().join("gateway.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    private(&path);
    let err = line(&path, "sandbox list").bad(5);
    assert!(err.contains("caused by: nobody listens at the socket"), "{err}");
    assert!(err.contains("hint: start a gateway: openshell-gateway --listen-socket "), "{err}");
}

fn private(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
}

#[test]
fn something_else_at_the_socket() {
    let dir = scratch();
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let link = dir.path().join("link");
    symlink(&file, &link).expect("a link");
    for (path, says) in [
        (file.as_path(), "is a regular file, not a socket"),
        (dir.path(), "is a directory, not a socket"),
        (link.as_path(), "is a symbolic link"),
    ] {
        let err = line(path, "status").bad(5);
        assert!(err.contains(says) && err.contains("\nhint: "), "{err}");
    }
}

/// A gateway that other users may dial has such a socket: who listens is what counts.
#[test]
fn a_socket_that_others_can_write_to() {
    let gateway = Gateway::start();
    std::fs::set_permissions(gateway.socket(), std::fs::Permissions::from_mode(0o666)).expect("its mode");
    let out = line(&gateway.socket(), "status").good();
    assert!(out.starts_with("gateway:  healthy"), "{out}");
}

#[test]
fn a_program_that_says_nothing() {
    let dir = scratch();
    let path = dir.path().join("gateway.sock");
    let _listener = UnixListener::bind(&path).expect("a socket");
    private(&path);
    assert_eq!(
        line(&path, "--timeout 200ms status").bad(8),
        "error: cannot ask the gateway how it is: no answer within 200ms\nhint: give it longer with --timeout 4s\n"
    );
}

#[test]
fn a_program_that_speaks_something_else() {
    let dir = scratch();
    let path = dir.path().join("gateway.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    private(&path);
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("it reads");
        std::thread::sleep(Duration::from_millis(300));
    });
    let err = line(&path, "--timeout 5s status").bad(5);
    assert!(err.starts_with("error: ") && err.contains("\nhint: "), "{err}");
    other.join().expect("it ended");
}

#[test]
fn a_gateway_that_does_not_answer() {
    let gateway = Gateway::start();
    gateway.state().silent = true;
    assert_eq!(
        line(&gateway.socket(), "sandbox get a --timeout 200ms").bad(8),
        "error: cannot get sandbox `a`: no answer within 200ms\nhint: give it longer with --timeout 4s\n"
    );
}

#[test]
fn a_gateway_that_dies_in_the_middle() {
    let mut gateway = Gateway::start();
    gateway.state().endless = true;
    gateway.state().sandboxes.push(sandbox("a", SandboxPhase::Ready, "", ""));
    gateway.state().scripts.push_back(vec![seen(sandbox("a", SandboxPhase::Ready, "", ""))]);
    let mut child = openshell(&gateway.socket())
        .args(["sandbox", "watch", "a"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    gateway.kill();
    let run = Run::from(child.wait_with_output().expect("it ends"));
    assert_eq!(run.code, Some(5), "{}", run.err);
    assert!(
        run.err.starts_with("error: cannot watch sandbox `a`: the connection to the gateway broke\n"),
        "{}",
        run.err
    );
}

#[test]
fn each_refusal_has_its_exit_code() {
    let gateway = Gateway::start();
    for (code, exit) in [
        (Code::NotFound, 3),
        (Code::AlreadyExists, 4),
        (Code::Unavailable, 5),
        (Code::FailedPrecondition, 6),
        (Code::ResourceExhausted, 6),
        (Code::InvalidArgument, 7),
        (Code::DeadlineExceeded, 8),
        (Code::Unimplemented, 9),
        (Code::PermissionDenied, 10),
        (Code::Unauthenticated, 10),
        (Code::Internal, 1),
    ] {
        gateway.state().refusal = Some(Status::new(code, "because"));
        let err = line(&gateway.socket(), "sandbox stop a").bad(exit);
        assert!(err.starts_with("error: cannot stop sandbox `a`\n  caused by: because\n"), "{err}");
    }
}

#[test]
fn a_refusal_points_somewhere() {
    let gateway = Gateway::start();
    let socket = gateway.socket();
    assert_eq!(
        line(&socket, "sandbox get nope --workspace w").bad(3),
        "error: cannot get sandbox `nope`\n  caused by: there is no sandbox `nope` in workspace `default`\n\
         hint: see which there are: openshell sandbox list --all-workspaces\n"
    );
    line(&socket, "sandbox create --name a").good();
    assert_eq!(
        line(&socket, "sandbox create --name a --workspace w").bad(4),
        "error: cannot create sandbox `a`\n  caused by: sandbox `a` is there already\n\
         hint: see what has that name: openshell sandbox get a --workspace w\n"
    );
    gateway.state().refusal = Some(Status::failed_precondition("sandbox `a` is provisioning"));
    assert_eq!(
        line(&socket, "sandbox stop a").bad(6),
        "error: cannot stop sandbox `a`\n  caused by: sandbox `a` is provisioning\n\
         hint: see its phase: openshell sandbox get a\n"
    );
}

#[test]
fn a_wrong_command_line_bothers_nobody() {
    let dir = scratch();
    let socket = dir.path().join("gateway.sock");
    for (args, says) in [
        ("sandbox", "Usage: openshell sandbox"),
        ("sandbox creat", "'create'"),
        ("sandbox create --env A", "no `=` in it; write NAME=VALUE"),
        ("sandbox create --env A=1 --env A=2", "`--env A=…` is given twice"),
        ("sandbox create --label k=1 --label k=2", "`--label k=…` is given twice"),
        ("sandbox create --gpu 0", "0 is not in 1.."),
        ("sandbox create --driver-config [1]", "not a JSON object"),
        ("sandbox create --wait=1y", "`y` is no unit"),
        ("sandbox create sleep 5", "[-- <COMMAND>...]"),
        ("sandbox list --workspace w -A", "cannot be used with"),
        ("sandbox get", "<NAME>"),
        ("status --timeout 0", "has to be more than nothing"),
    ] {
        let err = line(&socket, args).bad(2);
        assert!(err.contains(says), "{args}: {err}");
    }
}

#[test]
fn help_and_version_need_no_gateway() {
    let socket = Path::new("/absent/gateway.sock");
    assert_eq!(line(socket, "--version").good(), format!("openshell {}\n", env!("CARGO_PKG_VERSION")));
    assert!(line(socket, "sandbox --help").good().contains("Make a sandbox and print its name"));
    let help = line(socket, "--help").good();
    for line in
        ["Exit codes:", "   3  there is no such sandbox, workspace or gateway", "OPENSHELL_GATEWAY_SOCKET"]
    {
        assert!(help.contains(line), "{help}");
    }
}
