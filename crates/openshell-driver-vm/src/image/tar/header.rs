//! One block of 512 bytes that says what follows it.

use super::super::trouble::Trouble;

/// What everything in an archive is a multiple of.
pub(super) const BLOCK: usize = 512;

/// A header whose checksum is right.
#[derive(Debug)]
pub(super) struct Header([u8; BLOCK]);

impl Header {
    /// Takes a block for a header when its checksum says so.
    pub(super) fn read(block: [u8; BLOCK]) -> Option<Self> {
        let said = number(&block[148..156])?;
        // The checksum's own field counts as spaces; old programs added signed bytes.
        let bytes =
            || block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
        let unsigned: i64 = bytes().map(i64::from).sum();
        let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
        (said == unsigned || said == signed).then_some(Self(block))
    }

    pub(super) fn kind(&self) -> u8 {
        self.0[156]
    }

    pub(super) fn size(&self) -> Result<u64, Trouble> {
        self.field("size", 124..136)
    }

    pub(super) fn mode(&self) -> Result<u32, Trouble> {
        self.field::<u32>("mode", 100..108).map(|mode| mode & 0o7777)
    }

    pub(super) fn uid(&self) -> Result<u32, Trouble> {
        self.field("owner", 108..116)
    }

    pub(super) fn gid(&self) -> Result<u32, Trouble> {
        self.field("group", 116..124)
    }

    pub(super) fn mtime(&self) -> Result<i64, Trouble> {
        self.field("time", 136..148)
    }

    /// The name, with the prefix that POSIX's headers have for long ones.
    pub(super) fn path(&self) -> Vec<u8> {
        let name = until_nul(&self.0[..100]);
        let prefix = until_nul(&self.0[345..500]);
        // GNU's own header, whose magic ends in spaces, has times where the prefix would be.
        if &self.0[257..263] != b"ustar\0" || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    pub(super) fn link(&self) -> Vec<u8> {
        until_nul(&self.0[157..257]).to_vec()
    }

    fn field<T: TryFrom<i64>>(&self, what: &str, at: std::ops::Range<usize>) -> Result<T, Trouble> {
        number(&self.0[at])
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| Trouble::entry(&self.path(), format!("has a {what} that makes no sense")))
    }
}

/// A number: octal digits with spaces and NULs around them, or 63 bits behind a byte of `0x80`.
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if *first == 0x80 {
        return rest
            .iter()
            .try_fold(0_i64, |number, byte| number.checked_mul(256)?.checked_add(i64::from(*byte)));
    }
    if *first == 0xff {
        // A negative one in two's complement, as times before 1970 are.
        return rest
            .iter()
            .try_fold(-1_i64, |number, byte| number.checked_mul(256)?.checked_add(i64::from(*byte)));
    }
    let digits: Vec<u8> = field.iter().copied().skip_while(|byte| *byte == b' ').collect();
    let end = digits.iter().position(|byte| matches!(byte, b' ' | 0)).unwrap_or(digits.len());
    let (digits, behind) = digits.split_at(end);
    if behind.iter().any(|byte| !matches!(byte, b' ' | 0)) {
        return None;
    }
    if digits.is_empty() {
        return Some(0);
    }
    i64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok().filter(|number| *number >= 0)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777"), Some(0o77_777_777));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        for junk in [
            &b"0000648\0"[..],
            b"12\x0034\0",
            b"-1\0",
            &[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(number(junk), None, "{junk:?}");
        }
    }
}
