//! What can be wrong with an image or with making a disk of it, and what that is in the terms of the contract.

use std::io;
use std::path::PathBuf;

use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::pull::Fault;

/// What keeps an image from becoming a disk.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// An entry of an archive.
    #[error("its entry `{}` {problem}", shown(entry))]
    Entry {
        /// The entry's name as it stands in the archive.
        entry: Vec<u8>,
        /// What is wrong with it.
        problem: String,
    },
    /// An archive or a layout as a whole.
    #[error("{0}")]
    Image(String),
    /// It does not fit.
    #[error("it is larger than the disk of {size} bytes: {what}")]
    TooLarge {
        /// The disk's size in bytes.
        size: u64,
        /// What was too much.
        what: String,
    },
    /// Bytes are not those that were asked for.
    #[error("{what} has the digest `{found}`, not `{wanted}`")]
    Digest {
        /// What was read.
        what: String,
        /// What its bytes come to.
        found: String,
        /// What they should come to.
        wanted: String,
    },
    /// The operator's table names something that cannot be read.
    #[error("cannot read `{}`: {error}", path.display())]
    Source {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The host: its disk, its programs.
    #[error("{what}: {error}")]
    Host {
        /// What was being done.
        what: String,
        /// Why it did not succeed.
        error: io::Error,
    },
    /// `mke2fs` or `debugfs` is away, or does not do its work.
    #[error("{message}")]
    Program {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Nobody waits for it any more.
    #[error("nobody waits for it any more")]
    Stopped,
}

impl Trouble {
    /// An entry and what is wrong with it: a verb and its object.
    pub(super) fn entry(entry: &[u8], problem: impl Into<String>) -> Self {
        Self::Entry { entry: entry.to_vec(), problem: problem.into() }
    }

    /// A call to the host's system that failed.
    pub(super) fn host(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Host { what, error }
    }

    /// What everybody who waits for the image is told.
    pub(super) fn fault(self, reference: &str) -> Fault {
        let message = format!("cannot make a disk of image `{reference}`: {self}");
        let fault = |kind| Fault::new(kind, message.clone());
        match self {
            Self::Entry { .. } | Self::Image(_) => fault(ErrorKind::FailedPrecondition),
            Self::TooLarge { .. } => fault(ErrorKind::FailedPrecondition)
                .hint("give sandboxes a larger disk: disk_size = \"16Gi\" in [openshell.drivers.vm]"),
            Self::Digest { .. } => fault(ErrorKind::FailedPrecondition)
                .hint("it was damaged or exchanged on its way: fetch or make it again"),
            Self::Source { .. } => fault(ErrorKind::FailedPrecondition).hint(
                "look at the path in [openshell.drivers.vm.images], and at whether the driver's user may read it",
            ),
            Self::Host { ref error, .. } if is_full(error) => fault(ErrorKind::ResourceExhausted)
                .hint("make room where the driver's state directory is: df -h; du -xsh on its `images`"),
            Self::Host { .. } | Self::Stopped => fault(ErrorKind::Internal),
            Self::Program { hint, .. } => {
                Fault::new(ErrorKind::FailedPrecondition, message.clone()).hint(hint)
            }
        }
    }
}

/// Whether an error is a disk, or somebody's share of it, that is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A name out of an archive, for people: no byte of it can do anything to a terminal, and no name fills a log.
pub(super) fn shown(name: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(name);
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_without_its_tricks() {
        assert_eq!(shown(b"a/\x1b[31m\n\xff"), "a/\\u{1b}[31m\\n\u{fffd}");
        let long = shown(&[b'x'; 10_000]);
        assert!(long.ends_with('…') && long.chars().count() == 201);
    }

    #[test]
    fn troubles_and_their_kinds() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        for (trouble, kind) in [
            (Trouble::entry(b"../a", "leads out"), ErrorKind::FailedPrecondition),
            (Trouble::Host { what: "write".into(), error: full }, ErrorKind::ResourceExhausted),
            (Trouble::Host { what: "write".into(), error: io::Error::other("x") }, ErrorKind::Internal),
        ] {
            let fault = trouble.fault("r:5/a:1");
            assert_eq!(fault.kind, kind, "{fault:?}");
            assert!(fault.message.contains("`r:5/a:1`"), "{fault:?}");
        }
    }
}
