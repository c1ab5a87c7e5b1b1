//! The id of a request, by which its lines in the logs of client and gateway are found.

use std::fmt::{self, Write as _};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, in requests and in answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const LONGEST: usize = 64;

/// The id of a request: the client's own, if it is 1 to 64 letters, digits, `_`, `.` or `-`, else one that this process
/// has not given before and another has hardly. Requests that reach the gateway's services carry it as an extension.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id of a request, taken from its headers or made.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut offered = headers.get_all(X_REQUEST_ID).iter();
        match (offered.next(), offered.next()) {
            (Some(value), None) if is_good(value.as_bytes()) => Self(value.clone()),
            _ => Self::next(),
        }
    }

    fn next() -> Self {
        static PROCESS: LazyLock<u32> = LazyLock::new(|| {
            // Without randomness the process id has to do: an id is for finding, not for trusting.
            getrandom::u32().unwrap_or_else(|_| std::process::id())
        });
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let mut text = Text::default();
        // It has room for all 25 characters.
        let _ = write!(text, "{:08x}-{:x}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed));
        Self(HeaderValue::from_bytes(text.bytes()).unwrap_or(HeaderValue::from_static("unknown")))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only what is ASCII is taken.
        self.0.to_str().unwrap_or_default()
    }

    /// The id as a header's value.
    pub(crate) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.as_str())
    }
}

fn is_good(bytes: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(fits)
}

/// A short text on the stack.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    len: usize,
}

impl Text {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_id_is_taken_and_any_other_replaced() {
        let long = "a".repeat(64);
        let longer = "a".repeat(65);
        for (offered, taken) in [
            (vec!["abc"], true),
            (vec!["A-b_c.9"], true),
            (vec![long.as_str()], true),
            (vec![longer.as_str()], false),
            (vec![""], false),
            (vec!["a b"], false),
            (vec!["a\tb"], false),
            (vec!["a\"b"], false),
            (vec!["abc", "abc"], false),
            (vec![], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &offered {
                headers.append(X_REQUEST_ID, value.parse().unwrap());
            }
            let id = RequestId::of(&headers);
            assert_eq!(Some(&id.as_str()) == offered.first(), taken, "{offered:?}: {id}");
            assert!(is_good(id.as_str().as_bytes()), "{id}");
        }
    }

    #[test]
    fn no_two_are_the_same() {
        let ids: std::collections::BTreeSet<String> =
            (0..1000).map(|_| RequestId::next().to_string()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
