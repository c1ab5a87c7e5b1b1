//! Trees of files, in and out of the sandbox, as tar streams (pax, tar(5)).
//!
//! These run as processes of their own, as the sandbox's user, with the channel's bytes on standard input or output:
//! what the user may not read or write, no gateway and no archive can.

mod beneath;
mod pack;
mod unpack;

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

/// How much is read or written at a time, in bytes: as much as a message of the channel holds.
const PIECE: usize = 256 << 10;

/// Unpacks the standard input below a directory, which is made where it is not there.
pub(crate) fn upload(directory: &str) -> ExitCode {
    let result = io::stdin().as_fd().try_clone_to_owned().map_err(unpack::Problem::Read);
    match result.and_then(|input| unpack::unpack(std::fs::File::from(input), directory.as_ref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Packs a file or a directory onto the standard output.
pub(crate) fn download(path: &str) -> ExitCode {
    let result = io::stdout().as_fd().try_clone_to_owned().map_err(pack::Problem::Write);
    match result.and_then(|output| pack::pack(path.as_ref(), std::fs::File::from(output))) {
        // What was left out is said already.
        Ok(pack::Packed { complete: true }) => ExitCode::SUCCESS,
        Ok(pack::Packed { complete: false }) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
