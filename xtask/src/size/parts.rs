//! The arithmetic of worth: what a part (a driver or an option) adds, takes, has for itself and shares. Sets only.

use std::collections::{BTreeMap, BTreeSet};

use crate::verify::Id;

/// What a part brings over the core, by its name.
pub(super) type Brings = BTreeMap<String, BTreeSet<Id>>;

/// What a part brings, told apart by who else does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shares {
    /// What nobody else brings.
    pub(super) only: BTreeSet<Id>,
    /// What others bring as well, by the names of these.
    pub(super) shared: BTreeMap<Vec<String>, BTreeSet<Id>>,
}

/// The shares of the part of that name.
pub(super) fn shares(brings: &Brings, name: &str) -> Shares {
    let mut shares = Shares::default();
    for id in brings.get(name).into_iter().flatten() {
        let others = brings.iter().filter(|(other, crates)| *other != name && crates.contains(id));
        let others: Vec<String> = others.map(|(other, _)| other.clone()).collect();
        match others.is_empty() {
            true => shares.only.insert(id.clone()),
            false => shares.shared.entry(others).or_default().insert(id.clone()),
        };
    }
    shares
}

/// What two sets of crates have apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Apart {
    /// Crates that only the first has, of no version in the second.
    pub(super) only_first: BTreeSet<Id>,
    /// Crates that only the second has, of no version in the first.
    pub(super) only_second: BTreeSet<Id>,
    /// Crates of both that differ in versions, with all versions of each.
    pub(super) versions: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>,
    /// How many crates both have in the same version.
    pub(super) common: usize,
}

/// Compares two sets of crates.
pub(super) fn apart(first: &BTreeSet<Id>, second: &BTreeSet<Id>) -> Apart {
    let versions = |ids: &BTreeSet<Id>, wanted: &str| -> BTreeSet<String> {
        ids.iter().filter(|(name, _)| name == wanted).map(|(_, version)| version.clone()).collect()
    };
    let mut apart = Apart { common: first.intersection(second).count(), ..Apart::default() };
    for (name, version) in first.symmetric_difference(second) {
        let (one, other) = (versions(first, name), versions(second, name));
        let id = (name.clone(), version.clone());
        match (one.is_empty(), other.is_empty()) {
            (false, true) => drop(apart.only_first.insert(id)),
            (true, _) => drop(apart.only_second.insert(id)),
            (false, false) => drop(apart.versions.insert(name.clone(), (one, other))),
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(words: &[&str]) -> BTreeSet<Id> {
        let id = |word: &&str| {
            let (name, version) = word.split_once('@').unwrap_or((word, "1.0.0"));
            (name.to_owned(), version.to_owned())
        };
        words.iter().map(id).collect()
    }

    #[test]
    fn a_crate_is_ones_own_or_shared_with_those_who_bring_it() {
        let brings = Brings::from([
            ("a".to_owned(), ids(&["sdk", "http", "json", "tls"])),
            ("b".to_owned(), ids(&["http", "json", "yaml"])),
            ("c".to_owned(), ids(&["json", "tls@2.0.0"])),
        ]);
        let a = shares(&brings, "a");
        assert_eq!(a.only, ids(&["sdk", "tls"]), "another version is another crate");
        let with = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            a.shared,
            BTreeMap::from([(with(&["b"]), ids(&["http"])), (with(&["b", "c"]), ids(&["json"]))])
        );
        assert_eq!(shares(&brings, "nothing"), Shares::default());
    }

    #[test]
    fn what_differs_in_version_alone_is_told_apart() {
        let first = ids(&["a", "b", "c@1.0.0", "d@1.0.0", "d@2.0.0"]);
        let second = ids(&["a", "c@1.1.0", "d@2.0.0", "e"]);
        let apart = apart(&first, &second);
        assert_eq!((apart.only_first, apart.only_second, apart.common), (ids(&["b"]), ids(&["e"]), 2));
        let versions = |words: &[&str]| words.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(
            apart.versions,
            BTreeMap::from([
                ("c".to_owned(), (versions(&["1.0.0"]), versions(&["1.1.0"]))),
                ("d".to_owned(), (versions(&["1.0.0", "2.0.0"]), versions(&["2.0.0"]))),
            ])
        );
    }
}
