//! Which rows: all, those that are named, or one part of several, for as many machines.

use std::num::NonZeroUsize;
use std::str::FromStr;

use driver_codegen::matrix::Row;

use crate::error::{Error, Result};

/// One part of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Partition {
    /// From 0.
    part: usize,
    of: NonZeroUsize,
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let Some((part, of)) = text.split_once('/') else {
            return Err("that is not M/N, such as 1/4".to_owned());
        };
        // `+1` is a number to Rust and to nobody else.
        let number = |word: &str| {
            let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| word.parse::<usize>().ok()).flatten();
            number.ok_or_else(|| format!("`{word}` is not a whole number"))
        };
        let (part, of) = (number(part)?, number(of)?);
        let of = NonZeroUsize::new(of).ok_or("there is no division into 0 parts")?;
        match part.checked_sub(1) {
            Some(part) if part < of.get() => Ok(Self { part, of }),
            _ => Err(format!("there is no part {part} of {of}: parts are numbered from 1 to {of}")),
        }
    }
}

/// The rows that are asked for, in their order.
pub(super) fn choose(rows: Vec<Row>, names: &[String], partition: Option<Partition>) -> Result<Vec<Row>> {
    if let Some(Partition { part, of }) = partition {
        // Rows of a kind stand together, so that every part gets as many builds and as many checks as the others.
        return Ok(rows.into_iter().skip(part).step_by(of.get()).collect());
    }
    let unknown = names.iter().find(|name| !rows.iter().any(|row| row.is(name)));
    if let Some(unknown) = unknown {
        let known: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        return Err(Error::refused(
            format!("no row of the matrix is named `{unknown}`"),
            format!("there are {}; --pairs, --programs and --powerset give more", known.join(", ")),
        ));
    }
    let asked = |row: &Row| names.is_empty() || names.iter().any(|name| row.is(name));
    Ok(rows.into_iter().filter(asked).collect())
}

#[cfg(test)]
mod tests {
    use driver_codegen::matrix::{Wanted, rows};

    use super::*;
    use crate::selection::parse_manifest;

    /// The rows of some drivers: built ones, then checked ones.
    fn some(drivers: usize) -> Vec<Row> {
        let mut text = "[[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n".to_owned();
        for number in 1..drivers {
            text.push_str(&format!(
                "[[driver]]\nname = \"d{number}\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"p{number}\"\n"
            ));
        }
        let assembly = parse_manifest(text.as_bytes()).expect("a manifest without a fault");
        rows(&assembly, Wanted { powerset: true, ..Wanted::default() }).expect("not too many")
    }

    #[test]
    fn parts_are_disjoint_complete_and_alike_in_size() {
        for drivers in 1..6 {
            let all = some(drivers);
            for of in 1..all.len() + 3 {
                let parts: Vec<Vec<Row>> = (1..=of)
                    .map(|part| {
                        let partition = format!("{part}/{of}").parse().expect("a partition");
                        choose(all.clone(), &[], Some(partition)).expect("rows")
                    })
                    .collect();
                for row in &all {
                    let holders = parts.iter().filter(|part| part.contains(row)).count();
                    assert_eq!(holders, 1, "{} of {drivers} drivers in {of} parts", row.name);
                }
                assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), all.len());
                for does in all.iter().map(|row| row.does) {
                    let counts = parts.iter().map(|part| part.iter().filter(|row| row.does == does).count());
                    let (least, most) = (counts.clone().min(), counts.max());
                    assert!(most <= least.map(|least| least + 1), "{does:?}: {least:?} to {most:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_part_is_refused_in_words() {
        let refused = |text: &str| text.parse::<Partition>().expect_err(text);
        assert_eq!(refused("1"), "that is not M/N, such as 1/4");
        assert_eq!(refused("a/2"), "`a` is not a whole number");
        assert_eq!(refused("1/"), "`` is not a whole number");
        assert_eq!(refused("+1/2"), "`+1` is not a whole number");
        assert_eq!(refused("1/0"), "there is no division into 0 parts");
        assert_eq!(refused("0/3"), "there is no part 0 of 3: parts are numbered from 1 to 3");
        assert_eq!(refused("4/3"), "there is no part 4 of 3: parts are numbered from 1 to 3");
        assert_eq!(refused("1/99999999999999999999"), "`99999999999999999999` is not a whole number");
        assert_eq!("2/3".parse(), Ok(Partition { part: 1, of: NonZeroUsize::MIN.saturating_add(2) }));
    }

    #[test]
    fn rows_are_found_by_any_of_their_names() {
        let named = |name: &str| choose(some(2), &[name.to_owned()], None);
        let both = named("external-d1").expect("the pair, which is all of them");
        assert_eq!((both.len(), both[0].name.as_str()), (1, "external-d1"));
        assert_eq!(named("all").expect("the same"), both);
        let Err(Error::Refused { message, hint }) = named("d9") else { panic!("it is refused") };
        assert_eq!(message, "no row of the matrix is named `d9`");
        assert!(hint.expect("a hint").starts_with("there are none, default, external, external-d1;"));
    }
}
