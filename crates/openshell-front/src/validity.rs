//! Until when a certificate is valid: the one field that neither `rustls` nor `webpki` tells, read by hand.
//!
//! RFC 5280, section 4.1, in DER (X.690, section 8.1): a certificate is a sequence that begins with the sequence of what is
//! signed, which begins `[0] version`, serial number, signature, issuer, validity; that is two times.

use time::{Date, Month, OffsetDateTime, Time};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's validity; `None` for what is no certificate.
pub(crate) fn ends(der: &[u8]) -> Option<OffsetDateTime> {
    let (signed, _) = of_kind(der, SEQUENCE)?;
    let (mut fields, _) = of_kind(signed, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        (_, fields) = of_kind(fields, VERSION)?;
    }
    for _ in ["serial number", "signature", "issuer"] {
        (_, _, fields) = element(fields)?;
    }
    let (validity, _) = of_kind(fields, SEQUENCE)?;
    let (_, _, end) = element(validity)?;
    let (kind, end, _) = element(end)?;
    time(kind, end)
}

/// An element's kind and contents, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, short], mut rest) = der.split_first_chunk::<2>()?;
    let mut length = usize::from(short);
    if short & 0x80 != 0 {
        let (more, after) = rest.split_at_checked(usize::from(short & 0x7f))?;
        if more.is_empty() || more.len() > 3 {
            return None;
        }
        length = more.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        rest = after;
    }
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((kind, contents, rest))
}

fn of_kind(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(kind, ..)| *kind == wanted).map(|(_, contents, rest)| (contents, rest))
}

/// `YYMMDDHHMMSSZ` with years from 1950 to 2049, or `YYYYMMDDHHMMSSZ` (RFC 5280, section 4.1.2.5).
fn time(kind: u8, text: &[u8]) -> Option<OffsetDateTime> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (kind, text.len()) {
        (UTC_TIME, 12) => {
            let year: i32 = text[..2].parse().ok()?;
            (year + if year < 50 { 2000 } else { 1900 }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let at = |at: usize| rest[at..at + 2].parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(at(0)?).ok()?, at(2)?).ok()?;
    Some(date.with_time(Time::from_hms(at(4)?, at(6)?, at(8)?).ok()?).assume_utc())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn the_end_is_read_in_both_forms_and_nonsense_is_none() {
        let key = KeyPair::generate().expect("a key");
        for end in [date_time_ymd(2020, 2, 29), date_time_ymd(2049, 12, 31), date_time_ymd(2077, 1, 1)] {
            let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
            params.not_after = end;
            let made = params.self_signed(&key).expect("a certificate");
            assert_eq!(ends(made.der()), Some(end));
            // Cut anywhere, it is none, and nothing panics.
            for length in 0..made.der().len() {
                assert_eq!(ends(&made.der()[..length]), None, "{length}");
            }
        }
        for (kind, text) in [
            (UTC_TIME, "201301000000Z"),
            (UTC_TIME, "20010100000Z"),
            (GENERALIZED_TIME, "20200101000000"),
            (4, ""),
        ] {
            assert_eq!(time(kind, text.as_bytes()), None, "{text}");
        }
    }
}
