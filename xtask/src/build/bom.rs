//! The bill of materials of one file: the packages that cargo says it compiled for it, where each comes from, its
//! checksum, its licence, and who depends on whom. Written twice: as CycloneDX beside the file, and as the list of
//! `cargo auditable`, which is appended to it.

mod cyclonedx;
mod licence;

use std::collections::{BTreeMap, BTreeSet};

use driver_verify::AuditedPackage;

use super::line::CargoLine;
use super::messages::{Compiled, Package, Unit};
use crate::verify::{Graph, Lock};
use crate::workspace::Workspace;

pub(crate) use cyclonedx::{Shipped, source_date};

/// What a file was made of.
#[derive(Debug, Clone)]
pub(crate) struct Bom {
    /// What was compiled for the target, by name and version.
    components: Vec<Component>,
    /// What only ran where it was built: build scripts, procedural macros, and what they need.
    tools: Vec<Component>,
    /// The package that was built, a place in `components`.
    root: usize,
}

/// A package.
#[derive(Debug, Clone)]
struct Component {
    name: String,
    version: String,
    source: Source,
    checksum: Option<String>,
    /// An SPDX expression.
    licence: Option<String>,
    /// Places in the same list.
    dependencies: BTreeSet<usize>,
}

/// Where a package comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    CratesIo,
    /// Another registry, by its URL.
    Registry(String),
    /// URL and commit.
    Git(String),
    Local,
}

impl Source {
    /// Of what the lock says.
    fn of(text: Option<&str>) -> Self {
        const CRATES_IO: [&str; 2] =
            ["https://github.com/rust-lang/crates.io-index", "https://index.crates.io/"];
        let Some(text) = text else { return Self::Local };
        match text.split_once('+') {
            Some(("git", url)) => {
                let (place, commit) = url.split_once('#').unwrap_or((url, ""));
                let place = place.split('?').next().unwrap_or(place);
                Self::Git(format!("git+{place}@{commit}"))
            }
            Some((_, url)) if CRATES_IO.contains(&url) => Self::CratesIo,
            Some((_, url)) => Self::Registry(url.to_owned()),
            None => Self::Registry(text.to_owned()),
        }
    }

    /// The word of `cargo auditable`.
    fn word(&self) -> &'static str {
        match self {
            Self::CratesIo => "crates.io",
            Self::Registry(_) => "registry",
            Self::Git(_) => "git",
            Self::Local => "local",
        }
    }
}

impl Bom {
    /// Of what cargo compiled by a line; `graph` is what resolves for it.
    pub(crate) fn new(
        workspace: &Workspace,
        line: &CargoLine,
        compiled: &Compiled,
        lock: &Lock,
        graph: &Graph,
    ) -> Self {
        let root_manifest = workspace.path("Cargo.toml");
        let component = |(package, unit): (&Package, &Unit)| {
            let locked = lock.get(&package.name, &package.version);
            Component {
                name: package.name.clone(),
                version: package.version.clone(),
                source: Source::of(locked.and_then(|locked| locked.source.as_deref())),
                checksum: locked.and_then(|locked| locked.checksum.clone()),
                licence: licence::of(&unit.manifest, &root_manifest),
                dependencies: BTreeSet::new(),
            }
        };
        let mut components: Vec<_> = compiled.target.iter().map(component).collect();
        connect(&mut components, graph);
        let only_host = compiled.host.iter().filter(|(package, _)| !compiled.target.contains_key(package));
        let tools = only_host.map(component).collect();
        let root = components.iter().position(|component| component.name == line.package());
        Self { components, tools, root: root.unwrap_or_default() }
    }

    /// The same as the list of `cargo auditable`: what is in the file, and nothing of what only built it.
    pub(crate) fn audited(&self) -> Vec<AuditedPackage> {
        let packages = self.components.iter().enumerate().map(|(place, component)| AuditedPackage {
            name: component.name.clone(),
            version: component.version.clone(),
            source: component.source.word().to_owned(),
            kind: "runtime".to_owned(),
            dependencies: component.dependencies.iter().copied().collect(),
            root: place == self.root,
        });
        packages.collect()
    }
}

/// Who depends on whom, of the packages that were compiled.
fn connect(components: &mut [Component], graph: &Graph) {
    let places: BTreeMap<(String, String), usize> = components
        .iter()
        .enumerate()
        .map(|(place, component)| ((component.name.clone(), component.version.clone()), place))
        .collect();
    for node in &graph.packages {
        let Some(&place) = places.get(&node.id) else { continue };
        let dependencies = node.dependencies.iter().filter_map(|at| graph.packages.get(*at));
        components[place].dependencies.extend(dependencies.filter_map(|node| places.get(&node.id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn bom() -> Bom {
        let lock = Lock::parse(
            "[[package]]\nname = \"server\"\nversion = \"0.1.0\"\n\
             [[package]]\nname = \"sdk\"\nversion = \"2.0.0+moby\"\nchecksum = \"abcd\"\n\
             source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
             [[package]]\nname = \"fork\"\nversion = \"1.0.0\"\nsource = \"git+https://host/fork?branch=x#c0ffee\"\n",
        )
        .expect("a lock");
        let package = |name: &str, version: &str| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            ours: name == "server",
        };
        let unit = Unit::default;
        let compiled = Compiled {
            target: [
                (package("server", "0.1.0"), unit()),
                (package("sdk", "2.0.0+moby"), unit()),
                (package("fork", "1.0.0"), unit()),
            ]
            .into(),
            host: [(package("sdk", "2.0.0+moby"), unit()), (package("macro", "1.0.0"), unit())].into(),
            ..Compiled::default()
        };
        let graph = Graph::of(
            "0 server v0.1.0 (/w/server)\n1 sdk v2.0.0+moby\n2 fork v1.0.0 (https://host/fork#c0ffee)\n1 unused v1.0.0\n",
        );
        let cargo = super::super::CargoArgs {
            profile: "dev".to_owned(),
            target: None,
            locked: false,
            offline: false,
        };
        let line = CargoLine::new("server", "gateway", Vec::new(), &cargo);
        Bom::new(&Workspace::at(std::path::Path::new("/nothing")), &line, &compiled, &lock, &graph)
    }

    #[test]
    fn the_list_has_what_is_in_the_file_and_who_brings_it() {
        let listed = bom().audited();
        let shown: Vec<_> = listed
            .iter()
            .map(|it| (it.name.as_str(), it.source.as_str(), it.dependencies.as_slice(), it.root))
            .collect();
        let expected = [
            ("fork", "git", &[][..], false),
            ("sdk", "crates.io", &[0], false),
            ("server", "local", &[1], true),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn sources_of_the_lock() {
        let git = Source::of(Some("git+https://host/x?rev=1#abc"));
        assert_eq!(git, Source::Git("git+https://host/x@abc".to_owned()));
        assert_eq!(Source::of(Some("sparse+https://index.crates.io/")), Source::CratesIo);
        assert_eq!(Source::of(Some("sparse+https://other/")), Source::Registry("https://other/".to_owned()));
        assert_eq!(Source::of(None), Source::Local);
    }
}
