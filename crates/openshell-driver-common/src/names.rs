//! Texts of requests in letters that any backend takes for a name.

use std::fmt::Write as _;

/// A text in the letters that engines and file systems allow, different for different texts: letters, digits and `-`
/// stay, any other byte is `_` and two hexadecimal digits.
#[must_use]
pub fn plain(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut plain, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            plain.push(char::from(byte));
        } else {
            let _ = write!(plain, "_{byte:02x}");
        }
        plain
    })
}

/// The text that [`plain`] made this of; `None` when it made no such thing.
#[must_use]
pub fn unplain(plain: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(plain.len());
    let mut rest = plain.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'_' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'-' => bytes.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

/// Sixteen digits that stand for a text where a name has no room for it: FNV-1a of 64 bits. It is the
/// same for ever and everywhere, and no defence against somebody who looks for two texts with the same digits.
#[must_use]
pub fn digest(text: &str) -> String {
    let digest = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{digest:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_specification() {
        // The test vectors of its authors.
        assert_eq!(digest(""), "cbf29ce484222325");
        assert_eq!(digest("a"), "af63dc4c8601ec8c");
        assert_eq!(digest("foobar"), "85944171f73967e8");
    }

    #[test]
    fn what_was_made_plain_reads_back() {
        for text in ["a.b", "a_2eb", "", "é", "A-b 1"] {
            assert_eq!(unplain(&plain(text)).as_deref(), Some(text));
        }
        for junk in ["a.b", "_2", "_zz", "_ff", "a b"] {
            assert_eq!(unplain(junk), None, "{junk}");
        }
    }

    #[test]
    fn different_texts_never_become_the_same() {
        let texts = ["a.b", "a_2eb", "a b", "A-b", "a-b", "", "é"];
        let plain: std::collections::BTreeSet<String> = texts.iter().map(|text| plain(text)).collect();
        assert_eq!(plain.len(), texts.len());
        assert!(plain.contains("a_2eb") && plain.contains("a_5f2eb"), "{plain:?}");
    }
}
