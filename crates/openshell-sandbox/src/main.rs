//! The supervisor inside a sandbox.
//!
//! ```text
//!   run ─▶ main process (argv, tty, user, environment: exactly as given)
//!    │        └─ output ─▶ the supervisor's own, byte for byte, and lines ─▶ link
//!    ├─ reaper: every orphan of the sandbox ends here
//!    └─ link ── a channel's Start and two queues ─▶ service ─▶ a command, a tree of files, the main process's signals
//! ```
//!
//! It is the first process of its sandbox, has one thread beside those that copy the main process's output, and keeps its
//! privileges and its token from whatever it starts. It is linked statically: a sandbox's image may be empty.

mod args;
mod link;
mod process;
mod run;
mod service;
mod spec;

use std::process::ExitCode;

use openshell_guest::second;

use crate::args::Arguments;

fn main() -> ExitCode {
    if second::taken() {
        return ExitCode::FAILURE;
    }
    match args::read(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned())) {
        Ok(Arguments::Run(arguments)) => ExitCode::from(run::run(arguments)),
        Ok(Arguments::Upload(_) | Arguments::Download(_)) => ExitCode::FAILURE,
        Ok(Arguments::Version) => {
            println!("openshell-sandbox {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("openshell-sandbox: {wrong}");
            ExitCode::from(2)
        }
    }
}
