//! The messages, and how they lie on the port: a length (`u32`, little-endian), then that many bytes of JSON.
//!
//! ```text
//!   guest                          driver
//!     Hello ─────────────────────────▶      the port is open, the root disk not yet mounted
//!     ◀──────────────────────── Spec        sent once; whatever is wrong from here on is a `Failed`
//!     Started ───────────────────────▶      the main process runs: its `execve` has succeeded
//!     ◀──────────────── Ping / Pong ▶       at any time
//!     ◀──────────────────────── Stop        TERM, the grace, KILL
//!     Exited ────────────────────────▶      then the disk is synced and the machine powers itself off
//! ```
//!
//! The driver must not believe a guest: [`Frames`] has a limit, and a frame that is no message is an error.

use std::fmt;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The name of the virtio-serial port.
pub const PORT: &str = "org.openshell.agent";

/// The version that [`FromGuest::Hello`] carries; a driver and a guest of different versions do not work together.
pub const VERSION: u32 = 1;

/// The most bytes of JSON in one frame.
pub const MAX_FRAME: usize = 1 << 20;

/// The most bytes of JSON that a guest needs for a message: what a driver should give to [`Frames::new`].
pub const MAX_FROM_GUEST: usize = 16 << 10;

/// What a guest is to be and to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The machine's host name; empty: none is set.
    pub hostname: String,
    /// The main process, word for word, no shell between. The driver has put the image's own entrypoint and command here
    /// where the request names none; empty: `/bin/sh`.
    pub argv: Vec<String>,
    /// Its environment; a later one wins. `PATH`, `HOME` and `HOSTNAME` are added where they are missing.
    pub env: Vec<(String, String)>,
    /// Who runs it: `name`, `uid`, `name:group`, `uid:gid`; empty: root. Names are looked up in the guest's own
    /// `/etc/passwd` and `/etc/group`.
    pub user: String,
    /// Where it starts; empty: `/`. Made, owned by the user, when it is not there.
    pub working_dir: String,
    /// The directory that the user is to own, itself and not what is in it; made where it is not there; empty: none.
    pub workspace: String,
    /// Whether it gets a terminal of its own, whose output goes to the console.
    pub tty: bool,
    /// Whether its standard input is held open, so that reading it waits; otherwise there is nothing in it. A terminal waits
    /// in any case.
    pub stdin: bool,
    /// The sandbox's token, for a file that only the user may read.
    pub token: Option<Token>,
    /// The network that the guest finds.
    pub network: Network,
    /// The most processes and threads that the workload may have at a time; 0: no limit.
    pub pids_limit: u64,
    /// The wall clock in milliseconds since 1970, for machines that have no clock of their own; 0: leave it.
    pub now_ms: u64,
}

/// A secret in a file of the guest's memory.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The file's absolute path; its directory becomes a file system in memory.
    pub path: String,
    /// What is in it.
    pub content: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The network of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Loopback alone.
    #[default]
    None,
    /// QEMU's user-mode network: the guest is 10.0.2.15/24, the gateway 10.0.2.2, the name server 10.0.2.3.
    User,
}

/// What the driver tells the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToGuest {
    /// The answer to [`FromGuest::Hello`], once.
    Spec(Box<Spec>),
    /// End the workload: TERM to the main process, then KILL to everything, then power off.
    Stop {
        /// How long the main process may take, in milliseconds.
        grace_ms: u64,
    },
    /// To be answered with a [`FromGuest::Pong`] of the same number.
    Ping(u64),
}

/// What the guest tells the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromGuest {
    /// The first message.
    Hello {
        /// [`VERSION`].
        version: u32,
    },
    /// The main process runs.
    Started,
    /// The main process has ended; the machine powers off.
    Exited {
        /// Its exit code, or 128 and the signal's number.
        code: i32,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
        /// Whether the guest's kernel has killed a process of the workload for want of memory.
        #[serde(default)]
        out_of_memory: bool,
    },
    /// The main process could not be started; the machine powers off.
    Failed {
        /// What was being done: `mount the root disk`, `find the user`, `run the command`, …
        step: String,
        /// What came of it.
        message: String,
    },
    /// The answer to [`ToGuest::Ping`].
    Pong(u64),
}

/// Why bytes are no message.
#[derive(Debug)]
pub enum FrameError {
    /// A frame announces, or would have, so many bytes; the second number is the limit.
    TooLong(usize, usize),
    /// What a frame holds is no message.
    Json(serde_json::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length, limit) => write!(f, "a frame of {length} bytes: at most {limit} are taken"),
            Self::Json(error) => write!(f, "a frame that is no message: {error}"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// One message as a frame.
///
/// # Errors
/// It would be longer than [`MAX_FRAME`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message).map_err(FrameError::Json)?;
    let length = frame.len() - 4;
    match u32::try_from(length) {
        Ok(header) if length <= MAX_FRAME => {
            frame[..4].copy_from_slice(&header.to_le_bytes());
            Ok(frame)
        }
        _ => Err(FrameError::TooLong(length, MAX_FRAME)),
    }
}

/// Bytes that come in pieces become messages.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    limit: usize,
}

impl Frames {
    /// Takes frames of at most `limit` bytes of JSON, and never holds more than one such frame beyond what was pushed.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), limit }
    }

    /// Adds what was read. Call [`Self::next_message`] until it gives nothing before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// The frame is too long or no message; what follows it cannot be trusted, so the port should be closed.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_le_bytes(*header)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FrameError::TooLong(length, self.limit));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(body).map_err(FrameError::Json)?;
        self.buffer.drain(..4 + length);
        Ok(Some(message))
    }
}

/// Writes one message.
///
/// # Errors
/// The message is too long, or the writer's error.
pub fn write<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    to.write_all(&encode(message)?)
}

/// Reads one message, waiting for all of it; nothing at the end of the stream.
///
/// # Errors
/// A frame above `limit` bytes or one that is no message, a stream that ends within a frame, or the reader's error.
pub fn read<T: DeserializeOwned>(from: &mut impl Read, limit: usize) -> io::Result<Option<T>> {
    let mut header = [0; 4];
    let mut got = 0;
    while got < header.len() {
        match from.read(&mut header[got..]) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(FrameError::TooLong(length, limit).into());
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    serde_json::from_slice(&body).map(Some).map_err(|error| FrameError::Json(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ToGuest {
        ToGuest::Spec(Box::new(Spec {
            argv: vec!["sh".to_owned(), "-c".to_owned(), "echo 'a b'".to_owned()],
            env: vec![("A".to_owned(), "1".to_owned())],
            token: Some(Token { path: "/run/openshell/token".to_owned(), content: "s3cret".to_owned() }),
            network: Network::User,
            ..Spec::default()
        }))
    }

    #[test]
    fn messages_come_back_however_they_are_cut() {
        let mut bytes = encode(&spec()).expect("a frame");
        bytes.extend(encode(&ToGuest::Ping(7)).expect("a frame"));
        for size in [1, 3, bytes.len()] {
            let mut frames = Frames::new(MAX_FRAME);
            let mut got = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(message) = frames.next_message::<ToGuest>().expect("messages") {
                    got.push(message);
                }
            }
            assert_eq!(got, [spec(), ToGuest::Ping(7)], "in pieces of {size}");
        }
    }

    #[test]
    fn a_stream_is_read_to_its_end() {
        let mut bytes = Vec::new();
        let exited = FromGuest::Exited { code: 137, signal: Some(9), out_of_memory: true };
        write(&mut bytes, &exited).expect("written");
        let whole = bytes.clone();
        let mut from = whole.as_slice();
        assert_eq!(read::<FromGuest>(&mut from, MAX_FROM_GUEST).expect("read"), Some(exited));
        assert_eq!(read::<FromGuest>(&mut from, MAX_FROM_GUEST).expect("the end"), None);
        let cut = read::<FromGuest>(&mut &whole[..3], MAX_FROM_GUEST).expect_err("within a header");
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_before_it_is_there() {
        let mut frames = Frames::new(10);
        frames.push(&u32::MAX.to_le_bytes());
        let error = frames.next_message::<FromGuest>().expect_err("too long");
        assert_eq!(error.to_string(), "a frame of 4294967295 bytes: at most 10 are taken");
        let long = ToGuest::Spec(Box::new(Spec { argv: vec!["x".repeat(MAX_FRAME)], ..Spec::default() }));
        assert!(matches!(encode(&long), Err(FrameError::TooLong(_, MAX_FRAME))));
    }

    #[test]
    fn a_frame_that_is_no_message_is_an_error() {
        let mut frames = Frames::new(100);
        frames.push(&[2, 0, 0, 0, b'{', b'}']);
        assert!(matches!(frames.next_message::<FromGuest>(), Err(FrameError::Json(_))));
    }

    #[test]
    fn a_token_is_never_printed() {
        let printed = format!("{:?}", spec());
        assert!(printed.contains("/run/openshell/token") && !printed.contains("s3cret"), "{printed}");
    }
}
