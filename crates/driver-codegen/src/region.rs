//! Marked regions: the lines of a hand-written file that belong to the generator.
//!
//! ```text
//!   <!-- gen:NAME begin (any words) -->
//!   … ours …
//!   <!-- gen:NAME end -->
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use crate::layout::COMMAND;

/// What is wrong with a file's markers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionError {
    /// The file has no such region.
    #[error(
        "has no region `{name}`; add the lines `<!-- gen:{name} begin (written by `{COMMAND}`) -->` and `<!-- gen:{name} end -->`"
    )]
    Missing {
        /// The region.
        name: String,
    },
    /// A region begins twice.
    #[error("line {line}: region `{name}` is there twice")]
    Doubled {
        /// The region.
        name: String,
        /// Of the second beginning.
        line: usize,
    },
    /// A region begins inside another, or does not end.
    #[error("line {line}: region `{name}` has no end of its own")]
    Open {
        /// The region.
        name: String,
        /// Of its beginning.
        line: usize,
    },
    /// An end without a beginning.
    #[error("line {line}: region `{name}` ends but does not begin")]
    Stray {
        /// The region.
        name: String,
        /// Of the end.
        line: usize,
    },
    /// A region that nothing fills any more.
    #[error("line {line}: nothing fills region `{name}`; remove its markers")]
    Orphan {
        /// The region.
        name: String,
        /// Of its beginning.
        line: usize,
    },
}

struct Region {
    line: usize,
    body: Range<usize>,
}

/// Puts every body into its region and leaves the rest of the text as it is.
pub(crate) fn fill(text: &str, bodies: &BTreeMap<String, String>) -> Result<String, Vec<RegionError>> {
    let regions = scan(text)?;
    let mut errors = Vec::new();
    for name in bodies.keys().filter(|name| !regions.contains_key(name.as_str())) {
        errors.push(RegionError::Missing { name: name.clone() });
    }
    for (name, region) in regions.iter().filter(|(name, _)| !bodies.contains_key(**name)) {
        errors.push(RegionError::Orphan { name: (*name).to_owned(), line: region.line });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut ordered: Vec<_> = regions.iter().collect();
    ordered.sort_by_key(|(_, region)| region.body.start);
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for (name, region) in ordered {
        out.push_str(&text[end..region.body.start]);
        out.push_str(&bodies[*name]);
        end = region.body.end;
    }
    out.push_str(&text[end..]);
    Ok(out)
}

/// What a region of the text holds now; `None` when the region is absent or the markers are broken.
#[must_use]
pub fn region_body<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let body = scan(text).ok()?.remove(name)?.body;
    Some(&text[body])
}

fn scan(text: &str) -> Result<BTreeMap<&str, Region>, Vec<RegionError>> {
    let mut regions: BTreeMap<&str, Region> = BTreeMap::new();
    let mut errors = Vec::new();
    let mut open: Option<(&str, usize, usize)> = None;
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let number = index + 1;
        match marker(line) {
            Some((name, true)) => {
                if let Some((outer, line, _)) = open.replace((name, number, offset + line.len())) {
                    errors.push(RegionError::Open { name: outer.to_owned(), line });
                }
                if regions.contains_key(name) {
                    errors.push(RegionError::Doubled { name: name.to_owned(), line: number });
                }
            }
            Some((name, false)) => match open.take() {
                Some((begun, line, start)) if begun == name => {
                    regions.insert(name, Region { line, body: start..offset });
                }
                other => {
                    if let Some((begun, line, _)) = other {
                        errors.push(RegionError::Open { name: begun.to_owned(), line });
                    }
                    errors.push(RegionError::Stray { name: name.to_owned(), line: number });
                }
            },
            None => {}
        }
        offset += line.len();
    }
    if let Some((name, line, _)) = open {
        errors.push(RegionError::Open { name: name.to_owned(), line });
    }
    if errors.is_empty() { Ok(regions) } else { Err(errors) }
}

/// The name in a marker line, and whether it begins the region. A marker stands at the start of its line: one that
/// is quoted inside prose is none.
fn marker(line: &str) -> Option<(&str, bool)> {
    let inner = line.trim_end().strip_prefix("<!-- gen:")?.strip_suffix("-->")?.trim_end();
    let (name, rest) = inner.split_once(' ').unwrap_or((inner, ""));
    match rest.split_whitespace().next() {
        Some("begin") => Some((name, true)),
        Some("end") => Some((name, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, RegionError, fill, region_body};

    const TEXT: &str = "a\n<!-- gen:t begin (by gen) -->\nold\n<!-- gen:t end -->\nz";

    fn bodies(names: &[&str]) -> BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), "new\n".to_owned())).collect()
    }

    #[test]
    fn fills_and_keeps_the_rest() {
        let filled = fill(TEXT, &bodies(&["t"])).unwrap();
        assert_eq!(filled, TEXT.replace("old", "new"));
        assert_eq!(fill(&filled, &bodies(&["t"])).unwrap(), filled);
        assert_eq!(region_body(TEXT, "t"), Some("old\n"));
    }

    #[test]
    fn every_fault_is_named() {
        assert_eq!(
            fill("x\n", &bodies(&["a", "b"])).unwrap_err(),
            [RegionError::Missing { name: "a".into() }, RegionError::Missing { name: "b".into() }]
        );
        let twice = format!("{TEXT}\n{TEXT}\n");
        assert_eq!(
            fill(&twice, &bodies(&["t"])).unwrap_err(),
            [RegionError::Doubled { name: "t".into(), line: 7 }]
        );
        let open = "<!-- gen:t begin -->\nold\n";
        assert_eq!(
            fill(open, &bodies(&["t"])).unwrap_err(),
            [RegionError::Open { name: "t".into(), line: 1 }]
        );
        let stray = "<!-- gen:t end -->\n";
        assert_eq!(
            fill(stray, &bodies(&["t"])).unwrap_err(),
            [RegionError::Stray { name: "t".into(), line: 1 }]
        );
        assert_eq!(
            fill(TEXT, &bodies(&["u"])).unwrap_err(),
            [RegionError::Missing { name: "u".into() }, RegionError::Orphan { name: "t".into(), line: 2 }]
        );
    }
}
