//! Which texts betray a crate: a literal of its source and of no other's, that is in files which have the crate and in none
//! that has not.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::Sources;
use crate::verify::graph::Id;

/// So many texts are kept of a crate that somebody owns, or that is a member of the workspace, and of any other.
const KEPT: (usize, usize) = (8, 2);

/// A file that was built for learning, and the packages that resolve for it.
pub(super) struct Twin {
    pub(super) bytes: Vec<u8>,
    pub(super) ids: BTreeSet<Id>,
}

/// The texts of each crate, by `name@version`. `special` are the crates of which more are kept, and of which texts are kept
/// even where every twin has them: core is known by these.
pub(super) fn learn(
    sources: &Sources,
    twins: &[Twin],
    special: impl Fn(&str) -> bool,
) -> BTreeMap<String, Vec<String>> {
    let mut owners = sources.candidates();
    owners.retain(|_, id| special(&id.0) || twins.iter().any(|twin| !twin.ids.contains(id)));
    let texts: Vec<&String> = owners.keys().collect();
    let mut there = vec![false; texts.len()];
    let mut elsewhere = vec![false; texts.len()];
    for twin in twins {
        for (place, found) in driver_verify::found(&texts, &twin.bytes).into_iter().enumerate() {
            let has = twin.ids.contains(&owners[texts[place]]);
            there[place] |= found && has;
            elsewhere[place] |= found && !has;
        }
    }
    let kept: Vec<&String> = texts
        .iter()
        .enumerate()
        .filter(|(place, _)| there[*place] && !elsewhere[*place])
        .map(|(_, text)| *text)
        .collect();
    // A part of somebody else's text is his, too, although the compiler has left it out of these files.
    let mut shared = vec![false; kept.len()];
    for (id, source) in sources.iter() {
        for (place, found) in driver_verify::found(&kept, source.as_bytes()).into_iter().enumerate() {
            shared[place] |= found && owners[kept[place]] != *id;
        }
    }
    let mut by_crate: BTreeMap<&Id, Vec<&String>> = BTreeMap::new();
    for (text, _) in kept.into_iter().zip(shared).filter(|(_, shared)| !shared) {
        by_crate.entry(&owners[text]).or_default().push(text);
    }
    by_crate
        .into_iter()
        .map(|((name, version), mut texts)| {
            // The longest are the least likely to be anybody else's.
            texts.sort_by_key(|text| (std::cmp::Reverse(text.len()), *text));
            texts.truncate(if special(name) { KEPT.0 } else { KEPT.1 });
            texts.sort();
            (format!("{name}@{version}"), texts.into_iter().cloned().collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_where_twins_and_sources_agree() {
        let dir = tempfile::tempdir().unwrap();
        let mut sources = Sources::default();
        let id = |name: &str| (name.to_owned(), "1.0.0".to_owned());
        for (name, texts) in [
            (
                "driver",
                &[
                    "only the driver says this",
                    "the gateway shows it as well",
                    "left out by the compiler",
                    "a part of something that is longer",
                ][..],
            ),
            ("core", &["not a part of something that is longer than it", "what every build of it says"]),
        ] {
            let src = dir.path().join(name).join("src");
            std::fs::create_dir_all(&src).unwrap();
            std::fs::write(src.join("lib.rs"), format!("{texts:?}")).unwrap();
            sources.add(id(name), &dir.path().join(name).join("Cargo.toml"));
        }
        let twin = |names: &[&str], text: &str| Twin {
            bytes: text.as_bytes().to_vec(),
            ids: names.iter().map(|name| id(name)).collect(),
        };
        let with = "only the driver says this|the gateway shows it as well|a part of something that is longer|what every build of it says";
        let twins = [
            twin(&["core", "driver"], with),
            twin(&["core"], "the gateway shows it as well|what every build of it says"),
        ];
        let learned: Vec<_> = learn(&sources, &twins, |name| name == "core").into_iter().collect();
        let expected =
            [("core@1.0.0", "what every build of it says"), ("driver@1.0.0", "only the driver says this")];
        let expected = expected.map(|(name, text)| (name.to_owned(), vec![text.to_owned()]));
        assert_eq!(learned, expected);
    }
}
