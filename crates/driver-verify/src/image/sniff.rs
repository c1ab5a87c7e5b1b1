//! What the first bytes of a file tell, so that two gigabytes of zeroes are never read.

use super::Unreadable;

/// The largest file that is looked at, in bytes: gateways have some ten megabytes, with full debug information some
/// hundred.
pub const FILE_LIMIT: u64 = 512 << 20;

/// Signatures of what people hand in by mistake, or that hides what is in it.
const ARCHIVES: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "a gzip file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"BZh", "a bzip2 file"),
    (b"PK\x03\x04", "a zip file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file"),
    (b"\x04\x22\x4d\x18", "an lz4 file"),
    (b"!<arch>\n", "a static library or a Debian package"),
    (b"!<thin>\n", "a thin static library"),
    (b"\xed\xab\xee\xdb", "an RPM package"),
    (b"hsqs", "a squashfs image"),
    (b"{", "JSON"),
    (b"\0asm", "a WebAssembly module"),
];

/// Looks at the first bytes of a file (some 4 KiB, or all of it) and at its size, before the rest is read.
///
/// # Errors
///
/// When these tell already that it cannot be judged.
pub fn sniff(head: &[u8], size: u64) -> Result<(), Unreadable> {
    if size == 0 || head.is_empty() {
        return Err(Unreadable::Empty);
    }
    if head.iter().all(|&byte| byte == 0) {
        return Err(Unreadable::Zeroes);
    }
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(&line[..line.len().min(80)]);
        return Err(Unreadable::Script { interpreter: line.trim().to_owned() });
    }
    if let Some((_, what)) = ARCHIVES.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Unreadable::Archive(what));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(Unreadable::Archive("a tar file"));
    }
    if size > FILE_LIMIT {
        return Err(Unreadable::TooLarge { size });
    }
    Ok(())
}

/// The first bytes in hex, for a format that nobody knows.
pub(super) fn unknown(data: &[u8]) -> Unreadable {
    let head = data.iter().take(8).map(|byte| format!("{byte:02x}"));
    Unreadable::Unknown { head: head.collect::<Vec<_>>().join(" ") }
}
