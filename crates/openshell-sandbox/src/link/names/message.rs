//! Messages of the domain name system, as far as one asks for addresses (RFC 1035, section 4).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The class of the Internet.
const INTERNET: u16 = 1;
/// A header.
const HEADER: usize = 12;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: u16,
    /// What was asked for, as the server repeats it.
    pub(super) kind: Kind,
    /// 0 where nothing is wrong.
    pub(super) code: u8,
    /// Of whatever name: a server that is asked to follows the aliases, and says where they end.
    pub(super) addresses: Vec<IpAddr>,
}

/// A question, which the server is to answer itself, or ask others for.
pub(super) fn query(id: u16, name: &str, kind: Kind) -> io::Result<Vec<u8>> {
    let unfit = || io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is no name of a host"));
    let mut message = id.to_be_bytes().to_vec();
    // Recursion is desired; one question.
    message.extend([0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length));
        message.push(length.ok_or_else(unfit)?);
        message.extend(label.as_bytes());
    }
    message.push(0);
    if message.len() - HEADER > 255 {
        return Err(unfit());
    }
    message.extend(kind.number().to_be_bytes());
    message.extend(INTERNET.to_be_bytes());
    Ok(message)
}

/// Reads an answer to one question; `None` for anything else, and for one that is cut off in what it says of itself.
pub(super) fn read(message: &[u8]) -> Option<Answer> {
    let mut reader = Reader(message);
    let (id, flags) = (reader.number()?, reader.number()?);
    let (questions, answers) = (reader.number()?, reader.number()?);
    reader.skip(4)?;
    if flags & 0x8000 == 0 || questions != 1 {
        return None;
    }
    reader.name()?;
    let asked = reader.number()?;
    let kind = [Kind::V4, Kind::V6].into_iter().find(|kind| kind.number() == asked)?;
    reader.skip(2)?;
    let code = (flags & 0x0f) as u8;
    let mut addresses = Vec::new();
    // Of an answer that was cut off to fit into a datagram, what is there is good.
    for _ in 0..answers {
        let Some(address) = reader.record() else { break };
        addresses.extend(address);
    }
    Some(Answer { id, kind, code, addresses })
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Goes past a name, which may end in a pointer to another (RFC 1035, section 4.1.4).
    fn name(&mut self) -> Option<()> {
        loop {
            match self.take(1)?[0] {
                0 => return Some(()),
                length @ 1..=63 => self.skip(length.into())?,
                192.. => return self.skip(1),
                _ => return None,
            }
        }
    }

    /// A record: an address, or something else.
    fn record(&mut self) -> Option<Option<IpAddr>> {
        self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        self.skip(4)?;
        let length = self.number()?;
        let data = self.take(length.into())?;
        let v4 = || <[u8; 4]>::try_from(data).ok().map(|bytes| Ipv4Addr::from(bytes).into());
        let v6 = || <[u8; 16]>::try_from(data).ok().map(|bytes| Ipv6Addr::from(bytes).into());
        Some(match kind {
            _ if class != INTERNET => None,
            kind if kind == Kind::V4.number() => v4(),
            kind if kind == Kind::V6.number() => v6(),
            _ => None,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a server answers to a question: for A an alias and the address behind it, else nothing.
    pub(in super::super) fn answer(question: &[u8], address: [u8; 4]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2..4].copy_from_slice(&[0x81, 0x80]);
        let kind = question[question.len() - 3];
        if kind == 1 {
            message[7] = 2;
            // `x` is another name of what was asked for, and the address is `x`'s.
            message.extend([0xc0, 0x0c, 0, 5, 0, 1, 0, 0, 0, 9, 0, 3, 1, b'x', 0]);
            message.extend([1, b'x', 0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4]);
            message.extend(address);
        }
        message
    }

    #[test]
    fn a_question_is_one_of_rfc_1035() {
        let expected = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02gw\x07example\0\0\x1c\0\x01";
        assert_eq!(query(0x1234, "gw.example", Kind::V6).expect("a question"), expected);
        for name in ["", ".", "a..b", &"a".repeat(64), &["a"; 128].join(".")] {
            assert!(query(1, name, Kind::V4).is_err(), "{name}");
        }
    }

    #[test]
    fn an_answer_is_read_through_its_aliases_and_as_far_as_it_goes() {
        let question = query(7, "gw", Kind::V4).expect("a question");
        let message = answer(&question, [10, 0, 0, 7]);
        let read = read(&message).expect("an answer");
        let address: IpAddr = Ipv4Addr::new(10, 0, 0, 7).into();
        assert_eq!(read, Answer { id: 7, kind: Kind::V4, code: 0, addresses: vec![address] });
        // A question is no answer.
        assert_eq!(super::read(&question), None);
        for length in 0..message.len() {
            let cut = super::read(&message[..length]);
            assert!(cut.is_none_or(|answer| answer.addresses.is_empty()), "{length}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut message = answer(&query(7, "gw", Kind::V4).expect("a question"), [10, 0, 0, 7]);
        for at in 0..message.len() {
            for byte in [0, 1, 63, 64, 192, 255] {
                let before = std::mem::replace(&mut message[at], byte);
                let _ = read(&message);
                message[at] = before;
            }
        }
    }
}
