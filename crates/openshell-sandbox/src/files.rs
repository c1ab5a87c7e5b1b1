//! Trees of files, in and out of the sandbox, as tar streams (pax, tar(5)).
//!
//! These run as processes of their own, as the sandbox's user, with the channel's bytes on standard input or output:
//! what the user may not read or write, no gateway and no archive can. How it is done is `openshell-files`; what is said
//! goes to standard error, a line each, and the last one is why it failed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use openshell_files::{Event, FilesError, Target, pack, unpack};

/// Unpacks the standard input below a directory, which is made where it is not there; what `name` is, `Upload` says.
pub(crate) fn upload(directory: &str, name: &str) -> ExitCode {
    // A channel that breaks hangs up, and ends the input: the file under way is taken away then, which takes a moment. Who does not
    // use it is killed.
    let heard = Arc::new(AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGHUP, heard);
    end(unbuffered(io::stdin().as_fd()).and_then(|input| {
        let target = Target::open(Path::new(directory), OsStr::new(name))?;
        unpack(&target, None, input, &mut tell)
    }))
}

/// Packs a file or a directory onto the standard output.
pub(crate) fn download(path: &str) -> ExitCode {
    end(unbuffered(io::stdout().as_fd()).and_then(|output| pack(output, &[path.into()], &mut tell)))
}

/// A stream as it is: the library's own looks for lines.
fn unbuffered(stream: BorrowedFd<'_>) -> Result<File, FilesError> {
    stream.try_clone_to_owned().map(File::from).map_err(FilesError::Stream)
}

fn tell(event: Event<'_>) {
    if let Event::Skipped { path, why } = event {
        say(&format!("`{}` is left out: it {why}", path.display()));
    }
}

/// Says a line. Nobody may read it any more, which is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn end(outcome: Result<u64, FilesError>) -> ExitCode {
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        // What was left out is said already.
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&error.line());
            ExitCode::FAILURE
        }
    }
}
