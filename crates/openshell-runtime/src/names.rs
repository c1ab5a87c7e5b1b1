//! Names: what one may be, and how the gateway makes one, and ids.

use std::fmt::Write;

/// The longest name of a sandbox or a workspace.
pub(crate) const MAX_NAME: usize = 50;

const FIRST: &[&str] = &[
    "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "cool", "crisp", "dapper",
    "deep", "eager", "early", "fair", "fleet", "fond", "fresh", "gentle", "glad", "golden", "grand", "happy",
    "hardy", "keen", "kind", "light", "lively", "lucid", "merry", "mild", "neat", "nimble", "noble", "plain",
    "plucky", "proud", "quick", "quiet", "rapid", "ready", "sharp", "silver", "sleek", "smart", "solid",
    "spry", "steady", "still", "sunny", "swift", "tidy", "trim", "true", "vivid", "warm", "wise", "witty",
];

const SECOND: &[&str] = &[
    "badger", "beaver", "bison", "bittern", "bobcat", "condor", "crane", "curlew", "dolphin", "dormouse",
    "dove", "eagle", "egret", "eland", "elk", "falcon", "ferret", "finch", "fox", "gannet", "gazelle",
    "gecko", "grouse", "hare", "hawk", "heron", "ibex", "ibis", "jay", "kestrel", "kite", "lark", "lemur",
    "linnet", "lynx", "marmot", "marten", "mole", "newt", "osprey", "otter", "owl", "petrel", "pika",
    "plover", "puffin", "quail", "raven", "robin", "seal", "shrew", "stoat", "stork", "swift", "tapir",
    "tern", "thrush", "vole", "weasel", "wren",
];

/// Checks a name that a client gave: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most 50.
///
/// # Errors
/// A sentence that shows the name.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    if bytes.len() > MAX_NAME {
        return Err(format!("the name has {} characters, and may have {MAX_NAME}", name.chars().count()));
    }
    let ends = bytes.first().is_some_and(inner) && bytes.last().is_some_and(inner);
    if !ends || !bytes.iter().all(|byte| inner(byte) || *byte == b'-') {
        return Err(format!(
            "the name `{}` is not lower-case letters, digits and `-`, begun and ended by a letter or digit",
            name.escape_debug()
        ));
    }
    Ok(())
}

/// A name for a sandbox that was given none; there are some 228 million.
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn generate() -> Result<String, getrandom::Error> {
    let mut random = [0; 4];
    getrandom::fill(&mut random)?;
    let [first, second, tail @ ..] = random;
    let first = FIRST[usize::from(first) % FIRST.len()];
    let second = SECOND[usize::from(second) % SECOND.len()];
    Ok(format!("{first}-{second}-{:04x}", u16::from_be_bytes(tail)))
}

/// An id: a random UUID (RFC 9562, version 4).
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut id = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        // Writing to a string does not fail.
        let _infallible = write!(id, "{byte:02x}");
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "0", "a-b", "a--b", "9z", &"a".repeat(50)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "-", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "a\n", "a/b", &"a".repeat(51)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn generated_names_are_names() {
        for _ in 0..200 {
            let name = generate().unwrap();
            assert_eq!(check(&name), Ok(()), "{name}");
        }
    }

    #[test]
    fn ids_are_uuids_and_differ() {
        let id = new_id().unwrap();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
        assert_ne!(id, new_id().unwrap());
    }
}
