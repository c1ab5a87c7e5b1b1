//! A way around a `:authority` that HTTP libraries refuse, for clients that put a socket's path into it.
//!
//! Over `unix:///run/gateway.sock`, gRPC's C core (Python, C++, Ruby …) sends `:authority: run%2Fgateway.sock`, since 1.57
//! (grpc/grpc#33571), and Swift's the like; grpc-java sends `/run/gateway.sock`. The former is a reg-name of RFC 3986, but
//! `http::uri::Authority` takes `%` in user information only, and h2 resets the stream before any service sees the
//! request; there is no switch for it (hyperium/h2#487 would relax it, grpc/grpc#38142 asked for the other end). Clients
//! can set another authority, but those that exist do not. Nobody here reads the authority of a request on a Unix socket,
//! so the bytes that offend are replaced on their way in: `%` and `/` by `-`, one byte by one byte, so that every length and
//! the peer's HPACK table stay what the peer thinks they are.
//!
//! The walk knows as much of HTTP/2 as it needs: frames (RFC 9113, section 4.1), which of them carry a header block
//! (6.2, 6.10), and the representations in a block (RFC 7541, section 6). It decodes nothing: a Huffman-coded authority, or
//! one whose name stands in the dynamic table, passes as it is. When the first block has nothing to mend, or anything is
//! not as the specifications say, the walk ends and the connection costs nothing more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose reader mends what the client calls the authority.
#[derive(Debug)]
pub struct Mended<S> {
    stream: S,
    mender: Mender,
}

impl<S> Mended<S> {
    /// Wraps a connection of which nothing has been read yet.
    pub fn new(stream: S) -> Self {
        Self { stream, mender: Mender::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let had = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.mender.mend(&mut buffer.filled_mut()[had..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

/// What the walk expects next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The rest of the client's connection preface (RFC 9113, section 3.4).
    Preface { left: usize },
    /// A frame's nine bytes.
    Header { have: usize },
    /// The padding's length and, with `priority`, five bytes before a block.
    Lead { padded: bool, priority: u8 },
    /// Bytes of a header block.
    Block,
    /// Bytes of no interest.
    Skip { left: usize },
}

/// Where in a header block the walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// Before a representation.
    Start,
    /// In the continuation bytes of an integer of an indexed field or a size update: nothing follows it.
    Index,
    /// In the continuation bytes of a name's index; a name's index above the prefix is never that of `:authority`.
    NameIndex,
    /// Before the length of a name.
    NameLength,
    /// In the continuation bytes of a name's length.
    NameLengthMore { length: usize, shift: u32, huffman: bool },
    /// In a name; `same` as long as it is `:authority`.
    Name { left: usize, seen: usize, same: bool },
    /// Before the length of a value.
    ValueLength { authority: bool },
    /// In the continuation bytes of a value's length.
    ValueLengthMore { length: usize, shift: u32, mend: bool },
    /// In a value.
    Value { left: usize, mend: bool },
}

/// The name that is looked for.
const NAME: &[u8] = b":authority";
/// Its index in the static table (RFC 7541, appendix A).
const INDEX: u8 = 1;
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Walks along with what a client sends.
#[derive(Debug)]
struct Mender {
    expect: Expect,
    field: Field,
    header: [u8; 9],
    /// Bytes of the present frame that are neither lead nor padding, and padding.
    left: usize,
    padding: usize,
    /// The present block goes on in the next frame.
    open: bool,
    /// Something was mended, so that later blocks may need it too.
    needed: bool,
    done: bool,
}

impl Mender {
    fn new() -> Self {
        Self {
            expect: Expect::Preface { left: PREFACE.len() },
            field: Field::Start,
            header: [0; 9],
            left: 0,
            padding: 0,
            open: false,
            needed: false,
            done: false,
        }
    }

    /// Mends the next bytes of the connection in place.
    fn mend(&mut self, mut bytes: &mut [u8]) {
        while !self.done && !bytes.is_empty() {
            let used = self.step(bytes).min(bytes.len());
            bytes = &mut bytes[used..];
        }
    }

    /// Takes some of the bytes, at least one unless it gives up, and says how many.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        match self.expect {
            Expect::Preface { left } => {
                let expected = &PREFACE[PREFACE.len() - left..];
                let count = left.min(bytes.len());
                if bytes[..count] != expected[..count] {
                    return self.give_up();
                }
                self.expect = match left - count {
                    0 => Expect::Header { have: 0 },
                    left => Expect::Preface { left },
                };
                count
            }
            Expect::Header { have } => {
                let count = (self.header.len() - have).min(bytes.len());
                self.header[have..have + count].copy_from_slice(&bytes[..count]);
                self.expect = Expect::Header { have: have + count };
                if have + count == self.header.len() {
                    self.begin_frame();
                }
                count
            }
            Expect::Lead { padded: true, priority } => {
                let padding = usize::from(bytes[0]);
                let Some(left) = self.left.checked_sub(padding) else { return self.give_up() };
                (self.left, self.padding) = (left, padding);
                self.lead(false, priority);
                1
            }
            Expect::Lead { padded: false, priority } => {
                self.lead(false, priority.saturating_sub(1));
                1
            }
            Expect::Block => {
                let count = self.left.min(bytes.len());
                let taken = self.block(&mut bytes[..count]);
                self.left -= taken;
                if self.left == 0 && !self.done {
                    self.end_fragment();
                }
                taken
            }
            Expect::Skip { left } => {
                let count = left.min(bytes.len());
                self.skip(left - count);
                count
            }
        }
    }

    fn give_up(&mut self) -> usize {
        self.done = true;
        usize::MAX
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if self.open != (kind == CONTINUATION) {
            // Nothing may stand between the parts of a block (RFC 9113, section 6.10).
            self.give_up();
            return;
        }
        self.padding = 0;
        match kind {
            HEADERS => {
                let (padded, priority) = (flags & PADDED != 0, if flags & PRIORITY != 0 { 5 } else { 0 });
                let lead = usize::from(padded) + usize::from(priority);
                let Some(left) = length.checked_sub(lead) else {
                    self.give_up();
                    return;
                };
                self.left = left;
                self.field = Field::Start;
                self.open = flags & END_HEADERS == 0;
                self.lead(padded, priority);
            }
            CONTINUATION => {
                self.left = length;
                self.open = flags & END_HEADERS == 0;
                self.lead(false, 0);
            }
            _ => self.skip(length),
        }
    }

    fn lead(&mut self, padded: bool, priority: u8) {
        if padded || priority > 0 {
            self.expect = Expect::Lead { padded, priority };
        } else if self.left > 0 {
            self.expect = Expect::Block;
        } else {
            self.end_fragment();
        }
    }

    fn skip(&mut self, left: usize) {
        self.expect = if left == 0 { Expect::Header { have: 0 } } else { Expect::Skip { left } };
    }

    /// The end of a frame's part of a block; at the end of the block itself it is decided whether to go on.
    fn end_fragment(&mut self) {
        if !self.open && (self.field != Field::Start || !self.needed) {
            // The block ends in the middle of a field, or it needed nothing.
            self.give_up();
            return;
        }
        self.skip(self.padding);
    }

    /// Takes bytes of a header block, and says how many.
    fn block(&mut self, bytes: &mut [u8]) -> usize {
        if let Field::Value { left, mend } = self.field {
            let count = left.min(bytes.len());
            if mend {
                for byte in bytes[..count].iter_mut().filter(|byte| matches!(**byte, b'%' | b'/')) {
                    *byte = b'-';
                    self.needed = true;
                }
            }
            self.value(left - count, mend);
            return count;
        }
        let Some(field) = self.next_field(bytes[0]) else { return self.give_up().min(bytes.len()) };
        self.field = field;
        1
    }

    fn value(&mut self, left: usize, mend: bool) {
        self.field = if left == 0 { Field::Start } else { Field::Value { left, mend } };
    }

    /// What follows after one byte of a representation; `None` for what no encoder sends.
    fn next_field(&self, byte: u8) -> Option<Field> {
        let more = byte & 0x80 != 0;
        Some(match self.field {
            Field::Start => start(byte),
            Field::Index => {
                if more {
                    Field::Index
                } else {
                    Field::Start
                }
            }
            Field::NameIndex => {
                if more {
                    Field::NameIndex
                } else {
                    Field::ValueLength { authority: false }
                }
            }
            Field::NameLength => match byte & 0x7f {
                0x7f => Field::NameLengthMore { length: 0x7f, shift: 0, huffman: more },
                length => name(usize::from(length), more),
            },
            Field::NameLengthMore { length, shift, huffman } => match longer(length, shift, byte)? {
                (length, Some(shift)) => Field::NameLengthMore { length, shift, huffman },
                (length, None) => name(length, huffman),
            },
            Field::Name { left, seen, same } => {
                let same = same && NAME.get(seen) == Some(&byte);
                match left - 1 {
                    0 => Field::ValueLength { authority: same && seen + 1 == NAME.len() },
                    left => Field::Name { left, seen: seen + 1, same },
                }
            }
            Field::ValueLength { authority } => {
                let mend = authority && !more;
                match byte & 0x7f {
                    0x7f => Field::ValueLengthMore { length: 0x7f, shift: 0, mend },
                    0 => Field::Start,
                    length => Field::Value { left: usize::from(length), mend },
                }
            }
            Field::ValueLengthMore { length, shift, mend } => match longer(length, shift, byte)? {
                (length, Some(shift)) => Field::ValueLengthMore { length, shift, mend },
                (length, None) => Field::Value { left: length, mend },
            },
            // Taken whole before.
            Field::Value { left, mend } => Field::Value { left, mend },
        })
    }
}

/// The first byte of a representation (RFC 7541, section 6): indexed `1…`, literal with indexing `01…`, size update
/// `001…`, literal without indexing `0000…`, never indexed `0001…`.
fn start(byte: u8) -> Field {
    let indexed = |prefix: u8| if byte & prefix == prefix { Field::Index } else { Field::Start };
    let literal = |prefix: u8| match byte & prefix {
        0 => Field::NameLength,
        index if index == prefix => Field::NameIndex,
        index => Field::ValueLength { authority: index == INDEX },
    };
    match byte {
        0x80.. => indexed(0x7f),
        0x40..=0x7f => literal(0x3f),
        0x20..=0x3f => indexed(0x1f),
        _ => literal(0x0f),
    }
}

fn name(length: usize, huffman: bool) -> Field {
    match length {
        0 => Field::ValueLength { authority: false },
        left => Field::Name { left, seen: 0, same: !huffman },
    }
}

/// One more byte of an integer (RFC 7541, section 5.1); the new shift while there are more. Lengths beyond 32 bits are none.
fn longer(length: usize, shift: u32, byte: u8) -> Option<(usize, Option<u32>)> {
    if shift > 21 {
        return None;
    }
    let length = length + (usize::from(byte & 0x7f) << shift);
    Some((length, (byte & 0x80 != 0).then_some(shift + 7)))
}

#[cfg(test)]
mod tests;
