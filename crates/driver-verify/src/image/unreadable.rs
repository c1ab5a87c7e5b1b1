//! Why a file cannot be judged, in words.

use thiserror::Error;

/// Why a file cannot be judged. It is never "absent": nothing can be said about what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// No bytes.
    #[error("it is empty")]
    Empty,
    /// Nothing but zeroes, as far as was looked.
    #[error("it begins with nothing but zeroes: no program")]
    Zeroes,
    /// More than [`FILE_LIMIT`](super::FILE_LIMIT).
    #[error("it has {size} bytes, more than the {} that are looked at", super::FILE_LIMIT)]
    TooLarge {
        /// Its size in bytes.
        size: u64,
    },
    /// A script.
    #[error("it is a script for `{interpreter}`")]
    Script {
        /// What follows `#!`.
        interpreter: String,
    },
    /// A compressed file or an archive.
    #[error("it is {0}")]
    Archive(&'static str),
    /// Several programs in one.
    #[error("it is a universal Mach-O file: several programs in one")]
    Universal,
    /// An object file, a core dump.
    #[error("it is {0}, not a linked program")]
    NotAProgram(&'static str),
    /// No format that is known here.
    #[error("it is neither ELF nor PE nor Mach-O (it begins with `{head}`)")]
    Unknown {
        /// Its first bytes, in hex.
        head: String,
    },
    /// It ends before what its own tables name.
    #[error("it is truncated: {what} ends at byte {end}, the file at {size}")]
    Truncated {
        /// A section or a segment.
        what: String,
        /// Where that ends.
        end: u64,
        /// The size of the file.
        size: u64,
    },
    /// No section table.
    #[error("it has no section table: packed, or stripped of it")]
    NoSectionTable,
    /// A packer's signature.
    #[error("it is packed with {0}")]
    Packed(&'static str),
    /// Its tables contradict each other.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl Unreadable {
    /// What to do next, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Archive(_) => Some("unpack it and give the program that is in it"),
            Self::Universal => Some("take one out: lipo -thin arm64 FILE -output SLICE"),
            Self::Packed("UPX") => Some("unpack it: upx -d FILE"),
            Self::Script { .. } => Some("give the program that the script starts"),
            Self::Truncated { .. } => Some("compare its size and its hash with those of the build"),
            Self::NoSectionTable => Some("judge the file before it is packed"),
            _ => None,
        }
    }

    pub(crate) fn damaged(error: impl std::fmt::Display) -> Self {
        Self::Damaged(error.to_string())
    }
}
