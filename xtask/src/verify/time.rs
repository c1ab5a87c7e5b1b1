//! The clock of a statement.

use ::time::OffsetDateTime;

/// Now, by RFC 3339 in UTC, to the second.
pub(super) fn now() -> String {
    rfc3339(OffsetDateTime::now_utc())
}

/// A moment by RFC 3339, to the second.
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_by_the_standard() {
        let at = |seconds| rfc3339(OffsetDateTime::from_unix_timestamp(seconds).unwrap());
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59Z");
    }
}
