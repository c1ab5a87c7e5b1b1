//! Messages on a stream: a length (`u32`, little-endian), then that many bytes of JSON.
//!
//! Whoever reads says how long a message may be, since the other side need not be believed.

use std::fmt;
use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes of JSON in one frame.
pub const MAX_FRAME: usize = 1 << 20;

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
    /// Takes frames of at most `limit` bytes of JSON, and never holds more than one such frame beyond what was
    /// pushed.
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

    #[test]
    fn messages_come_back_however_they_are_cut() {
        let sent = [vec!["a".to_owned(), "'b c'".to_owned()], Vec::new()];
        let mut bytes = encode(&sent[0]).expect("a frame");
        bytes.extend(encode(&sent[1]).expect("a frame"));
        for size in [1, 3, bytes.len()] {
            let mut frames = Frames::new(MAX_FRAME);
            let mut got = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(message) = frames.next_message::<Vec<String>>().expect("messages") {
                    got.push(message);
                }
            }
            assert_eq!(got, sent, "in pieces of {size}");
        }
    }

    #[test]
    fn a_stream_is_read_to_its_end() {
        let mut whole = Vec::new();
        write(&mut whole, &"last words").expect("written");
        let mut from = whole.as_slice();
        assert_eq!(read::<String>(&mut from, 100).expect("read").as_deref(), Some("last words"));
        assert_eq!(read::<String>(&mut from, 100).expect("the end"), None);
        let cut = read::<String>(&mut &whole[..3], 100).expect_err("within a header");
        assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_before_it_is_there() {
        let mut frames = Frames::new(10);
        frames.push(&u32::MAX.to_le_bytes());
        let error = frames.next_message::<String>().expect_err("too long");
        assert_eq!(error.to_string(), "a frame of 4294967295 bytes: at most 10 are taken");
        assert!(matches!(encode(&"x".repeat(MAX_FRAME)), Err(FrameError::TooLong(_, MAX_FRAME))));
    }

    #[test]
    fn a_frame_that_is_no_message_is_an_error() {
        let mut frames = Frames::new(100);
        frames.push(&[2, 0, 0, 0, b'{', b'}']);
        assert!(matches!(frames.next_message::<String>(), Err(FrameError::Json(_))));
    }
}
