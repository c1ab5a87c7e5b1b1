//! Moments as services write them: RFC 3339 in descriptions, nanoseconds since 1970 in events.

use std::time::{Duration, UNIX_EPOCH};

use openshell_driver_api::conditions::timestamp;

const NANOS: i64 = 1_000_000_000;

/// A moment in RFC 3339 as nanoseconds since 1970; `None` for what is none, and for what is too far from now for the number.
/// Services write the offset of their own host.
pub(crate) fn nanos(text: &str) -> Option<i64> {
    let number =
        |part: &str| part.parse::<i64>().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()));
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let at = time.find(['Z', '+', '-'])?;
    let (time, offset) = time.split_at(at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(number);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let fraction = if fraction.is_empty() { 0 } else { number(format!("{fraction:0<9}").get(..9)?)? };
    let offset = match offset.split_at(1) {
        ("Z", "") => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let offset = number(hours)? * 3_600 + number(minutes)? * 60;
            if sign == "-" { -offset } else { offset }
        }
    };
    let seconds = days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    seconds.checked_mul(NANOS)?.checked_add(fraction)
}

/// The same the other way round, in UTC; before 1970 it is 1970.
pub(crate) fn text(nanos: i64) -> String {
    let nanos = u64::try_from(nanos).unwrap_or_default();
    let whole = timestamp(UNIX_EPOCH + Duration::from_nanos(nanos));
    format!("{}.{:09}Z", whole.trim_end_matches('Z'), nanos % NANOS.unsigned_abs())
}

/// Days from 1970 to a day of the Gregorian calendar, of years that have four digits.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`, for years that are not negative.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=9_999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the day which some have more is their last.
    let year = if month <= 2 { year - 1 } else { year };
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for (written, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-21T15:04:55.597398998Z", 1_795_273_495_597_398_998),
            ("2026-11-21T16:04:55.5+01:00", 1_795_273_495_500_000_000),
            ("2026-11-21T09:34:55-05:30", 1_795_273_495_000_000_000),
            ("2024-02-29T23:59:59.000000001Z", 1_709_251_199_000_000_001),
        ] {
            assert_eq!(nanos(written), Some(expected), "{written}");
            assert_eq!(nanos(&text(expected)), Some(expected), "{written}");
        }
        assert_eq!(text(1_795_273_495_597_398_998), "2026-11-21T15:04:55.597398998Z");
    }

    #[test]
    fn what_is_no_moment() {
        for junk in [
            "",
            "0001-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T0:0Z",
            "T",
            "é",
            "-1-1-1T1:1:1Z",
        ] {
            assert_eq!(nanos(junk), None, "{junk}");
        }
    }
}
