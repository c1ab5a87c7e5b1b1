//! Which part of a list is asked for.

use tonic::Status;

use crate::selector::Selector;

/// How many a list has that says nothing.
const DEFAULT_LIMIT: u32 = 100;
/// How many it has at most.
const MAX_LIMIT: u32 = 1000;
/// The longest selector, in bytes: some twenty requirements of the longest keys and values.
const MAX_SELECTOR: usize = 8 * 1024;

/// A part of a list, in the order of creation, then id.
#[derive(Debug)]
pub(super) struct Page {
    /// At most so many.
    pub(super) limit: u32,
    /// Without the first so many.
    pub(super) offset: u32,
    /// Only what it matches.
    pub(super) selector: Selector,
}

impl Page {
    /// Reads what a list request says. A limit of 0 is the default, and one that is too large the largest.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a selector that is none.
    pub(super) fn read(limit: u32, offset: u32, selector: &str) -> Result<Self, Status> {
        if selector.len() > MAX_SELECTOR {
            let message = format!("the label selector has more than {MAX_SELECTOR} bytes");
            return Err(Status::invalid_argument(message));
        }
        let limit = if limit == 0 { DEFAULT_LIMIT } else { limit.min(MAX_LIMIT) };
        let selector = Selector::parse(selector).map_err(Status::invalid_argument)?;
        Ok(Self { limit, offset, selector })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (asked, given) in [(0, 100), (1, 1), (100, 100), (1000, 1000), (1001, 1000), (u32::MAX, 1000)] {
            assert_eq!(Page::read(asked, 7, "").unwrap().limit, given, "{asked}");
        }
        assert_eq!(Page::read(0, u32::MAX, "a=b").unwrap().offset, u32::MAX);
        assert!(Page::read(0, 0, &"a,".repeat(5000)).unwrap_err().message().contains("8192"));
    }
}
