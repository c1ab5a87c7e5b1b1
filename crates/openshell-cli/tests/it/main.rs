//! The tests of `openshell`, all of them through the program, against a gateway in this process.

mod complete;
mod contexts;
mod docs;
mod errors;
mod exec;
mod fake;
mod files;
mod forward;
mod logs;
mod many;
mod network;
mod real;
mod sandbox;
mod terminal;
mod watch;
mod workspace;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program, with nothing of the caller's environment that it reads, and a socket.
fn openshell(socket: &Path) -> Command {
    let mut command = bare(Path::new("/absent"));
    command.env("OPENSHELL_GATEWAY_SOCKET", socket);
    command
}

/// The program with a home of its own and no gateway.
fn bare(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openshell"));
    command.env_clear().env("HOME", home).stdin(Stdio::null());
    command
}

/// What a run left: exit code, standard output, standard error.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Run {
    /// Checks that it went well and gives what it printed.
    #[track_caller]
    fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// Checks that it went well and gives what it printed; it may have told of its progress.
    #[track_caller]
    fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// Checks the exit code and gives what it said; nothing may be on standard output.
    #[track_caller]
    fn bad(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        self.err
    }

    fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn run<S: AsRef<OsStr>>(socket: &Path, args: impl IntoIterator<Item = S>) -> Run {
    openshell(socket).args(args).output().expect("the program runs").into()
}

/// Runs a command line that has no spaces within its words.
fn line(socket: &Path, line: &str) -> Run {
    run(socket, line.split(' '))
}

/// Says that something is not there; a failure where `OPENSHELL_TEST_REQUIRE` names it.
fn required(name: &str, why: &str) {
    let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|one| one.trim() == name), "{name} is required, and there is {why}");
    println!("skipped: {why}");
}
