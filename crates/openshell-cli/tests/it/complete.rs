//! Completion, and the manual.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::SandboxPhase;

use crate::fake::{Gateway, sandbox};
use crate::{Run, bare, line, openshell};

/// What bash is offered for the last word of a line.
fn offered(socket: &Path, words: &[&str]) -> Run {
    let index = (words.len() - 1).to_string();
    let mut command = openshell(socket);
    command.env("OPENSHELL_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).env("_CLAP_IFS", "\n");
    command.arg("--").args(words).output().expect("the program runs").into()
}

#[test]
fn names_come_from_the_gateway() {
    let gateway = Gateway::start();
    for name in ["alpha", "alps", "beta"] {
        gateway.state().sandboxes.push(sandbox(name, SandboxPhase::Ready, "", ""));
    }
    let socket = gateway.socket();
    let names = |words: &[&str]| offered(&socket, words).good();
    assert_eq!(names(&["openshell", "sandbox", "get", "al"]).lines().collect::<Vec<_>>(), ["alpha", "alps"]);
    assert_eq!(names(&["openshell", "sandbox", "delete", "alpha", "b"]).trim(), "beta");
    for command in ["exec", "connect", "upload", "download", "logs", "forward", "signal"] {
        assert_eq!(names(&["openshell", "sandbox", command, "b"]).trim(), "beta", "{command}");
    }
    assert_eq!(names(&["openshell", "--gateway-socket", "/absent", "sandbox", "get", "al"]), "");
    assert!(names(&["openshell", "sand"]).starts_with("sandbox"));
    assert!(names(&["openshell", "sandbox", "list", "--phase", "st"]).contains("stopped"));
}

#[test]
fn a_gateway_that_is_away_hangs_no_shell() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("gateway.sock");
    for listener in [None, Some(UnixListener::bind(&socket).expect("a socket"))] {
        let began = Instant::now();
        assert_eq!(offered(&socket, &["openshell", "sandbox", "get", "x"]).good(), "");
        assert!(began.elapsed() < Duration::from_secs(30), "{listener:?}");
    }
}

#[test]
fn each_shell_has_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = line(Path::new("/absent"), &format!("completion {shell}")).good();
        assert!(script.contains("OPENSHELL_COMPLETE") && script.contains("openshell"), "{script}");
    }
    line(Path::new("/absent"), "completion tcsh").bad(2);
}

#[test]
fn the_manual_needs_nothing_but_the_program() {
    let dir = tempfile::tempdir().expect("a directory");
    let pages = dir.path().join("man1");
    let run = Run::from(bare(dir.path()).args(["man", "--dir"]).arg(&pages).output().expect("it runs"));
    assert_eq!(run.good(), "");
    let mut names: Vec<String> = std::fs::read_dir(&pages)
        .expect("a directory")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    for page in
        ["openshell.1", "openshell-sandbox-create.1", "openshell-gateway-add.1", "openshell-workspace.1"]
    {
        assert!(names.iter().any(|name| name == page), "{names:?}");
    }
    let main = line(Path::new("/absent"), "man").good();
    assert!(main.contains(".TH openshell 1") && main.contains("Exit codes"), "{main}");
}
