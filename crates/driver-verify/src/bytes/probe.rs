//! What is looked for in the bytes, and what makes a match of its letters a hit.
//!
//! rustc leaves the path of a source file in every panic message, so a crate betrays itself by where it was compiled:
//!
//! | sources | path |
//! | --- | --- |
//! | registry, trimmed or remapped | `…/name-1.2.3/src/lib.rs` |
//! | vendored, or a member of the workspace | `…/name/src/lib.rs` |
//! | a git repository of its own | `…/checkouts/repository-0123456789abcdef/c0ffee1/src/lib.rs` |
//!
//! Texts lie in a file one behind the other without a gap, so what stands before a name may belong to it or not. A
//! longer name that is a package of its own explains a match; so do paths of the standard library, which has copies of
//! some crates in it.

use std::collections::HashMap;

use crate::question::{CrateId, PackageName};

/// How far around a match is looked.
const REACH: usize = 256;

/// The packages that are known, by name.
#[derive(Debug, Default)]
pub(crate) struct Known<'q>(HashMap<&'q str, Vec<&'q str>>);

impl<'q> Known<'q> {
    pub(crate) fn new(packages: &'q [PackageName]) -> Self {
        Self::of(packages.iter().map(|package| (package.name.as_str(), package.version.as_str())))
    }

    pub(crate) fn of(packages: impl Iterator<Item = (&'q str, &'q str)>) -> Self {
        let mut known: HashMap<_, Vec<_>> = HashMap::new();
        for (name, version) in packages {
            known.entry(name).or_default().push(version);
        }
        Self(known)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn versions(&self, name: &str) -> &[&'q str] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn has(&self, name: &str, version: &str) -> bool {
        self.versions(name).contains(&version)
    }

    /// Whether the name alone says which crate is meant: there are not two versions, of which one may be somebody else's.
    pub(crate) fn is_sole(&self, name: &str) -> bool {
        self.versions(name).len() == 1
    }
}

/// One thing to look for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Probe {
    Crate {
        name: String,
        /// `None`: any.
        version: Option<String>,
        /// Look for `name/src/`.
        directory: bool,
        /// Look for `module::`.
        module: Option<String>,
        /// Look for `checkouts/repository-`.
        checkout: Option<String>,
    },
    Text(String),
}

/// What a needle's match has to be checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `name-1.2.3/`
    Versioned,
    /// `name-1`: any version may follow.
    AnyVersion,
    /// `name/src/`
    Directory,
    /// `checkouts/repository-`: sixteen digits follow.
    Checkout,
    /// `name::`
    Module,
    /// As it stands.
    Text,
}

impl Probe {
    pub(crate) fn of_crate(id: &CrateId, known: &Known<'_>) -> Self {
        let any = id.owned || id.version.is_none();
        Self::Crate {
            name: id.name.clone(),
            version: id.version.clone().filter(|_| !any),
            directory: id.workspace || any || known.is_sole(&id.name),
            module: id.owned.then(|| id.module()),
            checkout: id.checkout.clone(),
        }
    }

    /// The needles, with what to check of a match.
    pub(super) fn needles(&self) -> Vec<(String, Shape)> {
        match self {
            Self::Text(text) => vec![(text.clone(), Shape::Text)],
            Self::Crate { name, version, directory, module, checkout } => {
                let mut needles = Vec::new();
                for separator in ['/', '\\'] {
                    if let Some(version) = version {
                        needles.push((format!("{name}-{version}{separator}"), Shape::Versioned));
                    }
                    if let Some(repository) = checkout {
                        needles.push((format!("checkouts{separator}{repository}-"), Shape::Checkout));
                    }
                    if *directory {
                        needles.push((format!("{name}{separator}src{separator}"), Shape::Directory));
                    }
                }
                if version.is_none() {
                    needles.extend((0..10).map(|digit| (format!("{name}-{digit}"), Shape::AnyVersion)));
                }
                needles.extend(module.iter().map(|module| (format!("{module}::"), Shape::Module)));
                needles
            }
        }
    }

    /// Whether the needle's match at `start..end` is a hit.
    pub(super) fn is_hit(
        &self,
        shape: Shape,
        data: &[u8],
        start: usize,
        end: usize,
        known: &Known<'_>,
    ) -> bool {
        let Self::Crate { name, version, .. } = self else { return true };
        let before = &data[start.saturating_sub(REACH)..start];
        match shape {
            Shape::Text => true,
            Shape::Versioned => {
                let version = version.as_deref().unwrap_or_default();
                !is_longer_name(before, name, version, known) && !is_carried_by_std(before)
            }
            Shape::AnyVersion => {
                let from = start + name.len() + 1;
                version_at(&data[from..data.len().min(from + REACH)]).is_some_and(|version| {
                    !is_longer_name(before, name, version, known) && !is_carried_by_std(before)
                })
            }
            Shape::Directory => {
                before.last().is_some_and(|byte| b"/\\".contains(byte)) && !is_part_of_std(before)
            }
            Shape::Checkout => data.get(end..end + 17).is_some_and(|rest| {
                rest[..16].iter().all(u8::is_ascii_hexdigit) && b"/\\".contains(&rest[16])
            }),
            Shape::Module => {
                let begins = before.last().is_none_or(|byte| !is_word(*byte) && *byte != b':');
                begins && data.get(end).is_some_and(|byte| is_word(*byte) || b"<{".contains(byte))
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The version of a path's part `1.2.3-rc.1+meta`, when a separator follows it.
fn version_at(data: &[u8]) -> Option<&str> {
    let length = data.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b".+-_".contains(byte)))?;
    if !b"/\\".contains(&data[length]) {
        return None;
    }
    let text = std::str::from_utf8(&data[..length]).ok()?;
    let core = text.split(['-', '+']).next()?;
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (core.split('.').count() == 3 && core.split('.').all(number)).then_some(text)
}

/// Whether the name ends a longer one that is a package of this version: `tower-0.5.3` in `some-tower-0.5.3`. What is
/// no package is a text that happens to lie before. Without a list of packages a dash before it makes a longer name.
fn is_longer_name(before: &[u8], name: &str, version: &str, known: &Known<'_>) -> bool {
    let run = before.iter().rev().take_while(|byte| is_word(**byte) || **byte == b'-').count().min(64);
    let run = &before[before.len() - run..];
    if known.is_empty() {
        return run.last().is_some_and(|byte| b"-_".contains(byte));
    }
    let Ok(run) = std::str::from_utf8(run) else { return false };
    (0..run.len()).any(|from| known.has(&format!("{}{name}", &run[from..]), version))
}

/// Whether `name-version/` is one of the crates that the standard library carries: `/rust/deps/hashbrown-0.16.1/`.
fn is_carried_by_std(before: &[u8]) -> bool {
    const DEPS: [&[u8]; 3] = [b"/rust/deps/", b"\\rust\\deps\\", b"/library/vendor/"];
    DEPS.iter().any(|deps| before.ends_with(deps))
}

/// Whether `name/src/` is a part of the standard library: `/rustc/<commit>/library/backtrace/src/`.
fn is_part_of_std(before: &[u8]) -> bool {
    const ROOTS: [&[u8]; 3] = [b"/rustc/", b"\\rustc\\", b"/rustlib/src/rust/"];
    let last = |needle: &[u8]| before.windows(needle.len()).rposition(|window| window == needle);
    ROOTS.iter().filter_map(|root| last(root)).any(|at| {
        let between = &before[at..];
        let library = between.windows(8).any(|window| window == b"library/" || window == b"library\\");
        // Another file's name between: that path has ended, and this one is not part of it.
        library
            && between.iter().all(|byte| is_path(*byte))
            && !between.windows(3).any(|window| window == b".rs")
    })
}

fn is_path(byte: u8) -> bool {
    is_word(byte) || b"-./\\+".contains(&byte)
}

/// The text around a hit, for people: the rest of the path.
pub(super) fn show(data: &[u8], start: usize, end: usize, shape: Shape) -> String {
    let end = match shape {
        Shape::Text | Shape::Module => end,
        _ => {
            let rest = &data[end..data.len().min(end + 80)];
            let path = rest.iter().take_while(|byte| is_path(**byte)).count();
            let file = rest[..path].windows(3).position(|window| window == b".rs");
            end + file.map_or(path, |at| at + 3)
        }
    };
    data[start..end.min(start + 120)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(data: &str, id: &CrateId, known: &[(&str, &str)]) -> usize {
        let known = Known::of(known.iter().copied());
        let probe = Probe::of_crate(id, &known);
        let data = data.as_bytes();
        let mut hits = 0;
        for (needle, shape) in probe.needles() {
            for (start, _) in
                data.windows(needle.len()).enumerate().filter(|(_, it)| *it == needle.as_bytes())
            {
                hits += usize::from(probe.is_hit(shape, data, start, start + needle.len(), &known));
            }
        }
        hits
    }

    #[test]
    fn paths_of_a_crate() {
        let known = [("tower", "0.5.3"), ("some-tower", "0.5.3"), ("some-tower", "0.4.0")];
        let tower = CrateId::new("tower", Some("0.5.3"));
        let cases = [
            ("/root/.cargo/registry/src/index/tower-0.5.3/src/lib.rs", 1),
            ("tower-0.5.3/src/lib.rs", 1),
            ("C:\\cargo\\tower-0.5.3\\src\\lib.rs", 1),
            ("an earlier text, tower-0.5.3/src/lib.rs", 1),
            ("unwrappedtower-0.5.3/src/lib.rs", 1),
            ("/x/some-tower-0.5.3/src/lib.rs", 0),
            ("textsome-tower-0.5.3/src/lib.rs", 0),
            ("/x/tower-0.5.2/src/lib.rs", 0),
            ("tower-0.5.3 is a crate", 0),
            ("/rust/deps/tower-0.5.3/src/lib.rs", 0),
            ("/rustc/59807616e/library/std/src/x.rs/tower-0.5.3/src/lib.rs", 1),
            ("vendor/tower/src/lib.rs", 1),
            ("vendortower/src/lib.rs", 0),
            ("/rustc/59807616e/library/tower/src/lib.rs", 0),
            ("/rustc/59807616e/library/core/src/fmt.rsvendor/tower/src/lib.rs", 1),
            ("tower::Service", 0),
        ];
        for (data, expected) in cases {
            assert_eq!(hits(data, &tower, &known), expected, "{data}");
        }
    }

    #[test]
    fn an_owned_crate_in_any_version_and_by_its_modules() {
        let known = [("bollard", "0.21.1"), ("bollard", "0.19.0"), ("my-bollard", "1.0.0")];
        let bollard = CrateId::new("bollard", Some("0.21.1")).owned();
        let cases = [
            ("/x/bollard-0.19.0/src/lib.rs", 1),
            ("/x/bollard-0.22.0-rc.1+moby/src/lib.rs", 1),
            ("/x/bollard-0.22.0", 0),
            ("/x/bollard-0.22/src", 0),
            ("/x/my-bollard-1.0.0/src", 0),
            ("third_party/bollard/src/docker.rs", 1),
            ("bollard::docker", 1),
            ("<bollard::docker>", 1),
            ("core::bollard::docker", 0),
            ("my_bollard::docker", 0),
            ("bollard:: ", 0),
        ];
        for (data, expected) in cases {
            assert_eq!(hits(data, &bollard, &known), expected, "{data}");
        }
    }

    #[test]
    fn a_crate_of_a_git_repository() {
        let mut fork = CrateId::new("bollard", Some("0.21.1"));
        fork.checkout = Some("bollard-fork".to_owned());
        let known = [("bollard", "0.21.1")];
        let cases = [
            ("/root/.cargo/git/checkouts/bollard-fork-0123456789abcdef/c0ffee1/src/docker.rs", 1),
            ("C:\\git\\checkouts\\bollard-fork-0123456789abcdef\\c0ffee1\\src\\docker.rs", 1),
            ("/git/checkouts/bollard-fork-two-0123456789abcdef/c0ffee1/src/docker.rs", 0),
            ("/git/checkouts/bollard-fork-0123456789abcdef", 0),
        ];
        for (data, expected) in cases {
            assert_eq!(hits(data, &fork, &known), expected, "{data}");
        }
    }

    #[test]
    fn two_versions_of_a_crate_are_told_apart() {
        let known = [("base64", "0.22.1"), ("base64", "0.23.1")];
        let base64 = CrateId::new("base64", Some("0.23.1"));
        assert_eq!(hits("/x/base64-0.23.1/src/lib.rs", &base64, &known), 1);
        assert_eq!(hits("/x/base64-0.22.1/src/lib.rs", &base64, &known), 0);
        assert_eq!(hits("vendor/base64/src/lib.rs", &base64, &known), 0, "it may be the other one");
    }

    #[test]
    fn what_is_shown_ends_with_the_file() {
        let data = b"xxbollard-0.21.1/src/docker.rscalled `Option::unwrap()`";
        assert_eq!(show(data, 2, 17, Shape::Versioned), "bollard-0.21.1/src/docker.rs");
    }
}
