//! Trees of files as tar streams: what `openshell sandbox upload` and `download` do at both ends, in the client and inside
//! a sandbox.
//!
//! ```text
//!   paths ─▶ walk ─▶ pack (pax headers, pieces of 256 KiB) ─▶ any Write
//!   any Read ─▶ unpack (entries, one by one) ─▶ Target (a directory, and a way below it that no link leads out of)
//!                                                  └▶ place (a temporary name, then the real one)
//! ```
//!
//! Nothing here is asynchronous, and nothing keeps more than a piece of a file in memory. Whoever calls it for somebody
//! else gives up rights first: this library has no opinion on users.
//!
//! What is kept of a file: its name, its content, its permissions (`0777`; set-user-id and the like are not taken
//! from anybody's archive), its time of modification. A symbolic link stays one, whatever it leads to. A file that
//! has several names arrives as several files. Sockets, pipes and devices are left out, and said.

mod error;
mod pack;
mod place;
mod record;
mod target;
mod unpack;
mod walk;

use std::path::Path;

pub use self::error::FilesError;
pub use self::pack::{is_content, pack, top};
pub use self::target::Target;
pub use self::unpack::unpack;

/// How much is read and written at once, in bytes: what one frame of a channel carries at most.
pub const PIECE: usize = 256 * 1024;

/// The record of an archive's global header that says how many bytes its files have.
const TOTAL: &str = "OPENSHELL.total";

/// What happens on the way, for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// How many bytes the files have together. Known before the first of them, or never.
    Total(u64),
    /// This many more bytes of files have been read or written.
    Bytes(u64),
    /// Something is left out.
    Skipped {
        /// Where it is, or would be.
        path: &'a Path,
        /// Completes "`path` …".
        why: &'a str,
    },
}

/// Is told what happens on the way.
pub type Watch<'a> = dyn FnMut(Event<'_>) + 'a;
