//! The supervisor's line to its gateway: a second virtio-serial port, which carries one connection at a time.
//!
//! ```text
//!   supervisor ─▶ a socket in the guest ─▶ first program ═ port ═ driver ─▶ the sandbox's own socket on the host ─▶ gateway
//!
//!   guest                          driver
//!     Open 1 ────────────────────────▶      the supervisor has connected; the driver does so, too
//!     Data 1 ◀───────────────────────▶      any number
//!     Close 1 ◀──────────────────────▶      whoever has no more of it; what was under way to that end is dropped there
//!     Open 2 ────────────────────────▶      another takes its place, whether 1 was closed or not
//! ```
//!
//! A frame is a header of eight bytes and what it announces. Connections are numbered by the guest, upwards, so that what is
//! still on its way for an old one is told from what is for the present. Neither side keeps more than the frame that it is
//! about to hand on: whoever is slow makes the other wait, on this port and on no other.
//!
//! The driver must not believe a guest: what is no header, what belongs to a connection that never was, and a number that
//! does not go up are errors.

use std::fmt;

/// The name of the virtio-serial port.
pub const PORT: &str = "org.openshell.supervisor";

/// The bytes of a header.
pub const HEADER: usize = 8;

/// The most bytes that follow one: a frame is then four of the pages that a kernel takes at a time.
pub const MAX_DATA: usize = (16 << 10) - HEADER;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connection begins; the guest alone says so.
    Open,
    /// Bytes of it.
    Data,
    /// It has ended.
    Close,
}

/// What is said before a frame's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// The connection's number, from 1.
    pub connection: u32,
    /// How many bytes follow: at most [`MAX_DATA`], and none but for [`Kind::Data`].
    pub length: u16,
}

/// Bytes that are no header; what follows them cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoHeader([u8; HEADER]);

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bytes {:02x?} begin no frame of the supervisor's line", self.0)
    }
}

impl std::error::Error for NoHeader {}

impl Header {
    /// A frame without bytes.
    #[must_use]
    pub fn of(kind: Kind, connection: u32) -> Self {
        Self { kind, connection, length: 0 }
    }

    /// What lies on the port: the kind, a zero, the length and the number, little-endian.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER] {
        let kind = match self.kind {
            Kind::Open => 1,
            Kind::Data => 2,
            Kind::Close => 3,
        };
        let ([short, long], [a, b, c, d]) = (self.length.to_le_bytes(), self.connection.to_le_bytes());
        [kind, 0, short, long, a, b, c, d]
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: [u8; HEADER]) -> Result<Self, NoHeader> {
        let [kind, zero, short, long, a, b, c, d] = bytes;
        let kind = match kind {
            1 => Kind::Open,
            2 => Kind::Data,
            3 => Kind::Close,
            _ => return Err(NoHeader(bytes)),
        };
        let header = Self {
            kind,
            connection: u32::from_le_bytes([a, b, c, d]),
            length: u16::from_le_bytes([short, long]),
        };
        let fits = match kind {
            Kind::Data => (1..=MAX_DATA).contains(&usize::from(header.length)),
            Kind::Open | Kind::Close => header.length == 0,
        };
        if zero == 0 && header.connection != 0 && fits { Ok(header) } else { Err(NoHeader(bytes)) }
    }
}

/// A frame of data in one piece, since a port may take each piece as a message of its own: `buffer` begins with room for the
/// header, and `length` bytes follow that.
///
/// # Panics
/// Never: what does not fit into a frame is cut.
#[must_use]
pub fn frame(buffer: &mut [u8; HEADER + MAX_DATA], connection: u32, length: usize) -> &[u8] {
    let length = length.min(MAX_DATA);
    let announced = u16::try_from(length).unwrap_or(u16::MAX);
    let header = Header { kind: Kind::Data, connection, length: announced };
    buffer[..HEADER].copy_from_slice(&header.encode());
    &buffer[..HEADER + length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back() {
        for (kind, connection, length) in [
            (Kind::Open, 1, 0),
            (Kind::Data, 0x0102_0304, 1),
            (Kind::Data, u32::MAX, 16376),
            (Kind::Close, 7, 0),
        ] {
            let header = Header { kind, connection, length };
            assert_eq!(Header::decode(header.encode()), Ok(header));
        }
        let header = Header { kind: Kind::Data, connection: 0x0102_0304, length: 0x0506 };
        assert_eq!(header.encode(), [2, 0, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            [0; HEADER],
            *b"GET / HT",
            [4, 0, 0, 0, 1, 0, 0, 0],
            [1, 1, 0, 0, 1, 0, 0, 0],
            // Of no connection; bytes where there are none, none where there are some, and too many.
            [1, 0, 0, 0, 0, 0, 0, 0],
            [3, 0, 1, 0, 1, 0, 0, 0],
            [2, 0, 0, 0, 1, 0, 0, 0],
            [2, 0, 0xf9, 0x3f, 1, 0, 0, 0],
        ] {
            assert_eq!(Header::decode(bytes), Err(NoHeader(bytes)), "{bytes:?}");
        }
    }

    #[test]
    fn a_frame_is_one_piece() {
        let mut buffer = [7; HEADER + MAX_DATA];
        assert_eq!(frame(&mut buffer, 9, 2), [2, 0, 2, 0, 9, 0, 0, 0, 7, 7]);
        assert_eq!(frame(&mut buffer, 9, usize::MAX).len(), HEADER + MAX_DATA);
    }
}
