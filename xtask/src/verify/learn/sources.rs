//! The sources of the crates that were compiled: where a text in a file comes from is told by whose source it stands in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::verify::graph::Id;

/// The shortest and the longest text that is learned, in bytes: long enough to be nobody else's, short enough to be read in
/// a review. Of a longer one the beginning is taken.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=48;
/// So many letters make a phrase or a name out of it.
const LETTERS: usize = 10;

/// The sources of crates, each in one text.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<Id, String>);

impl Sources {
    /// Adds those of the package of this manifest, once.
    pub(super) fn add(&mut self, id: Id, manifest: &Path) {
        self.0.entry(id).or_insert_with(|| read(&manifest.with_file_name("src")));
    }

    /// Every crate with its text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Id, &str)> {
        self.0.iter().map(|(id, text)| (id, text.as_str()))
    }

    /// Every literal that may betray a crate, and the crate: none that stands in the sources of two.
    pub(super) fn candidates(&self) -> BTreeMap<String, Id> {
        let mut owner: BTreeMap<String, Option<&Id>> = BTreeMap::new();
        for (id, text) in self.iter() {
            for literal in driver_verify::literals(text) {
                let Some(candidate) = candidate(&literal) else { continue };
                let known = owner.entry(candidate.to_owned()).or_insert(Some(id));
                if *known != Some(id) {
                    *known = None;
                }
            }
        }
        owner.into_iter().filter_map(|(text, id)| Some((text, id?.clone()))).collect()
    }
}

/// All of a directory's Rust in one text, files in the order of their paths.
pub(in crate::verify) fn read(directory: &Path) -> String {
    let mut paths = BTreeSet::new();
    walk(directory, &mut paths);
    let texts = paths.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    texts.collect::<Vec<_>>().join("\n")
}

fn walk(directory: &Path, paths: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&path, paths),
            Ok(_) if path.extension().is_some_and(|extension| extension == "rs") => {
                paths.insert(path);
            }
            _ => {}
        }
    }
}

/// What of a literal is looked for, where it is distinctive enough. It has to stand in the source as it stands in the file,
/// so that nobody needs to understand escapes to find it again.
fn candidate(literal: &str) -> Option<&str> {
    let text = literal.trim();
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\');
    let text = text.get(..text.len().min(*LENGTH.end())).filter(|_| plain)?.trim_end();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    (LENGTH.contains(&text.len()) && letters >= LETTERS).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_of_one_crate_is_a_candidate_and_one_of_two_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut sources = Sources::default();
        let id = |name: &str| (name.to_owned(), "1.0.0".to_owned());
        for (name, text) in [
            (
                "a",
                r#"const A: &str = "the engine did not answer {x}"; const B: &str = "both crates say this";"#,
            ),
            (
                "b",
                r#"const B: &str = "both crates say this"; const C: &str = "0123456789 0123456789"; const D: &str = "short";"#,
            ),
        ] {
            let src = dir.path().join(name).join("src/deep");
            std::fs::create_dir_all(&src).unwrap();
            std::fs::write(src.join("x.rs"), text).unwrap();
            sources.add(id(name), &dir.path().join(name).join("Cargo.toml"));
        }
        let candidates: Vec<_> = sources.candidates().into_iter().collect();
        assert_eq!(candidates, [("the engine did not answer".to_owned(), id("a"))]);
    }

    #[test]
    fn a_long_text_is_known_by_its_beginning() {
        let long = "a text that goes on for much longer than anybody wants to read in a review";
        assert_eq!(candidate(long).map(str::len), Some(48));
        assert_eq!(candidate("a text with a \\ in it, which stands otherwise in a source"), None);
    }
}
