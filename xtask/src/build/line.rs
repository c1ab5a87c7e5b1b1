//! The cargo line of one shipped file: `-p P --bin B --no-default-features --features …`, never more than one
//! package in a call, because cargo unifies the features of what it is asked for together.
//!
//! What runs inside a sandbox is linked static. `cargo rustc` hands that flag to the program's own crate and to nothing
//! below it, so that the libraries are those of every other build, in the same target directory, and none goes stale;
//! `RUSTFLAGS` would have every crate compiled once more, and would lose to whatever the user has set there.

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
    /// Whether the program brings all its libraries along.
    is_static: bool,
}

/// What has a program linked static, for the compiler, and without symbols in every profile: a guest boots with it in memory.
const STATIC: [&str; 5] = ["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"];

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
            is_static: false,
        }
    }

    /// The line of what runs inside a sandbox: the package's program, which has its name, static and without a feature.
    pub(crate) fn guest(package: &str, cargo: &CargoArgs) -> Self {
        Self { is_static: true, ..Self::new(package, package, Vec::new(), cargo) }
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
        let with_flags = self.is_static && verb == "build";
        let verb = if with_flags { "rustc" } else { verb };
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
        if with_flags {
            add(&STATIC);
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
    fn a_guest_is_linked_static_and_only_compiled_like_anything_else() {
        let line = CargoLine::guest("g", &CargoArgs { offline: true, ..cargo("release") });
        assert_eq!(
            line.shell(),
            "cargo rustc -p g --bin g --no-default-features --release --offline -- -C target-feature=+crt-static -C strip=symbols"
        );
        assert_eq!(line.args("check").last().map(String::as_str), Some("--offline"));
    }

    #[test]
    fn built_in_profiles_share_directories() {
        assert_eq!(Profile::new("debug"), Profile::new("dev"));
        assert_eq!(Profile::new("dev").dir(), "debug");
        assert_eq!(Profile::new("dist").dir(), "dist");
    }
}
