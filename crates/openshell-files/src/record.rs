//! Records of extended headers: `length key=value\n`, where the length counts itself (pax(1), "pax Extended Header").

use crate::TOTAL;

/// One record.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    // A space, `=`, and the line's end.
    let bare = key.len() + value.len() + 3;
    let mut length = bare + 1;
    while length != bare + length.to_string().len() {
        length = bare + length.to_string().len();
    }
    let mut out = format!("{length} {key}=").into_bytes();
    out.extend_from_slice(value);
    out.push(b'\n');
    out
}

/// How many bytes an archive's files have, out of a global header.
pub(crate) fn total(records: &[u8]) -> Option<u64> {
    tar::PaxExtensions::new(records)
        .filter_map(Result::ok)
        .find(|record| record.key_bytes() == TOTAL.as_bytes())
        .and_then(|record| record.value().ok()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_counts_itself() {
        // Just below and above the lengths at which the number grows.
        for size in [1, 90, 91, 92, 93, 94, 985, 986, 987, 988, 989, 5_000] {
            let record = record("k", &vec![b'v'; size]);
            let text = String::from_utf8(record.clone()).expect("text");
            let length: usize = text.split(' ').next().expect("a length").parse().expect("a number");
            assert_eq!(length, record.len(), "{size}");
        }
        assert_eq!(record("path", b"a"), b"9 path=a\n");
    }

    #[test]
    fn the_total_is_found_among_others() {
        let records = [record("comment", b"x"), record(TOTAL, b"1234")].concat();
        assert_eq!(total(&records), Some(1234));
        for other in [&b"junk"[..], b"", &record(TOTAL, b"-1"), &record("OPENSHELL.tota", b"1")] {
            assert_eq!(total(other), None);
        }
    }
}
