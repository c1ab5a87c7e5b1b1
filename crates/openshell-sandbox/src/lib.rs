//! The supervisor inside a sandbox.
//!
//! ```text
//!   run ─▶ main process (argv, tty, user, environment: exactly as given)
//!    │        └─ output ─▶ the supervisor's own, byte for byte, and lines ─▶ link
//!    ├─ reaper: every orphan of the sandbox ends here
//!    └─ link ── a channel's Start and two queues ─▶ service ─▶ a command, a tree of files, the main process's signals
//! ```
//!
//! It is the first process of its sandbox, has one thread beside those that copy the main process's output, and keeps
//! its privileges and its token from whatever it starts. It is linked statically: a sandbox's image may be empty.

//!
//! A library for its tests alone: what starts processes starts the program that it is in, so that a program which
//! tests it has to begin with [`main`], too.

mod args;
mod files;
mod install;
mod link;
mod process;
mod run;
mod say;
mod service;
mod spec;

use std::process::ExitCode;

use openshell_guest::second;

use crate::args::Arguments;
pub use crate::process::identity::Identity;
use crate::process::keeper;
use crate::say::say;
pub use crate::service::{QUEUE, Sandbox, serve};

/// The program: does what its command line says.
#[must_use]
pub fn main() -> ExitCode {
    if second::taken() || keeper::taken() {
        return ExitCode::FAILURE;
    }
    match args::read(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned())) {
        Ok(Arguments::Run(arguments)) => ExitCode::from(run::run(arguments)),
        Ok(Arguments::Install(arguments)) => match install::install(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(error);
                ExitCode::FAILURE
            }
        },
        Ok(Arguments::Upload(directory, name)) => files::upload(&directory, &name),
        Ok(Arguments::Download(path)) => files::download(&path),
        Ok(Arguments::Version) => {
            println!("openshell-sandbox {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            say(wrong);
            ExitCode::from(2)
        }
    }
}
