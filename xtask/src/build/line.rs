//! The cargo line of one shipped file: `-p P --bin B --no-default-features --features …`, never more than one
//! package in a call, because cargo unifies the features of what it is asked for together.

use super::CargoArgs;
use crate::verify::{Edges, Query};
use crate::workspace;

/// One cargo call that makes one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CargoLine {
    package: String,
    bin: String,
    features: Vec<String>,
    profile: Profile,
    target: Option<String>,
    locked: bool,
    offline: bool,
}

/// A cargo profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile(String);

impl Profile {
    /// The profile of that name; cargo's other word for `dev`, `debug`, is understood.
    pub(crate) fn new(name: &str) -> Self {
        Self(if name == "debug" { "dev".to_owned() } else { name.to_owned() })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Its directory under `target/<triple>/`: cargo's two built-in pairs share one each.
    pub(crate) fn dir(&self) -> &str {
        match self.0.as_str() {
            "dev" | "test" => "debug",
            "bench" => "release",
            name => name,
        }
    }
}

impl CargoLine {
    /// The line of a package's program with these features.
    pub(crate) fn new(package: &str, bin: &str, features: Vec<String>, cargo: &CargoArgs) -> Self {
        Self {
            package: package.to_owned(),
            bin: bin.to_owned(),
            features,
            profile: Profile::new(&cargo.profile),
            target: cargo.target.clone(),
            locked: cargo.locked,
            offline: cargo.offline,
        }
    }

    /// The package.
    pub(crate) fn package(&self) -> &str {
        &self.package
    }

    /// The program.
    pub(crate) fn bin(&self) -> &str {
        &self.bin
    }

    /// The features, in the manifest's order.
    pub(crate) fn features(&self) -> &[String] {
        &self.features
    }

    /// The target triple, where one was asked for.
    pub(crate) fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// What resolves for it on a target (`None`: the host), on the way of these dependencies.
    pub(crate) fn query(&self, target: Option<&str>, edges: Edges) -> Query {
        Query {
            package: self.package.clone(),
            features: self.features.clone(),
            target: target.map(ToOwned::to_owned),
            edges,
        }
    }

    /// Whether cargo may not touch the network.
    pub(crate) fn offline(&self) -> bool {
        self.offline
    }

    /// The arguments of `cargo <verb>`.
    pub(crate) fn args(&self, verb: &str) -> Vec<String> {
        let mut args = vec![verb.to_owned()];
        let mut add = |words: &[&str]| args.extend(words.iter().map(ToString::to_string));
        add(&["-p", &self.package, "--bin", &self.bin, "--no-default-features"]);
        if !self.features.is_empty() {
            add(&["--features", &self.features.join(",")]);
        }
        match self.profile.name() {
            "dev" => {}
            "release" => add(&["--release"]),
            name => add(&["--profile", name]),
        }
        if let Some(target) = &self.target {
            add(&["--target", target]);
        }
        if self.locked {
            add(&["--locked"]);
        }
        if self.offline {
            add(&["--offline"]);
        }
        args
    }

    /// The line for a shell. How messages are printed changes nothing in the file, so it is not part of it.
    pub(crate) fn shell(&self) -> String {
        workspace::line(&self.args("build"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cargo(profile: &str) -> CargoArgs {
        CargoArgs { profile: profile.to_owned(), target: None, locked: false, offline: false }
    }

    #[test]
    fn the_line_is_the_one_a_user_would_type() {
        let features = vec!["driver-a".to_owned(), "telemetry".to_owned()];
        let line = CargoLine::new("p", "b", features, &cargo("release"));
        assert_eq!(
            line.shell(),
            "cargo build -p p --bin b --no-default-features --features driver-a,telemetry --release"
        );
        let line = CargoLine::new("p", "b", Vec::new(), &CargoArgs { locked: true, ..cargo("debug") });
        assert_eq!(line.shell(), "cargo build -p p --bin b --no-default-features --locked");
    }

    #[test]
    fn built_in_profiles_share_directories() {
        assert_eq!(Profile::new("debug"), Profile::new("dev"));
        assert_eq!(Profile::new("dev").dir(), "debug");
        assert_eq!(Profile::new("dist").dir(), "dist");
    }
}
