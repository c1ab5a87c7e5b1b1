//! What channels ask for, as something to run: a command, or this program's own for files.

use std::time::Duration;

use openshell_guest::second::Stdin;
use openshell_proto::relay::v1alpha1::{Command, Download, Upload};

use crate::process::channel::Wanted;
use crate::process::identity::Identity;
use crate::process::input::characters;

/// This program: whoever runs as the sandbox's user may execute it, wherever it lies.
const SELF: &str = "/proc/self/exe";

/// A command.
pub(crate) fn command(wanted: Command, identity: &Identity) -> Wanted {
    let stdin = if wanted.stdin { Stdin::Passed } else { Stdin::Empty };
    let tty = wanted.terminal.is_some();
    Wanted {
        plan: identity.plan(wanted.argv, &wanted.workdir, wanted.environment, tty, stdin),
        terminal: wanted.terminal.map(characters),
        timeout: (wanted.timeout_seconds > 0).then(|| Duration::from_secs(wanted.timeout_seconds.into())),
        large: false,
    }
}

/// An upload.
pub(crate) fn upload(wanted: Upload, identity: &Identity) -> Wanted {
    files("upload", wanted.directory, Some(wanted.name), Stdin::Passed, identity)
}

/// A download.
pub(crate) fn download(wanted: Download, identity: &Identity) -> Wanted {
    files("download", wanted.path, None, Stdin::Empty, identity)
}

/// A process of its own, because it has to be the user, whom the kernel keeps by the thread, and because it can then
/// be ended like any other.
fn files(direction: &str, path: String, name: Option<String>, stdin: Stdin, identity: &Identity) -> Wanted {
    // Where the main process was started.
    let path = if path.is_empty() { ".".to_owned() } else { path };
    let mut argv = vec![SELF.to_owned(), "files".to_owned(), direction.to_owned(), path];
    argv.extend(name);
    Wanted { plan: identity.plan(argv, "", [], false, stdin), terminal: None, timeout: None, large: true }
}
