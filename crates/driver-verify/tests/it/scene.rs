//! The scene of most tests: a gateway with the driver `moon` and the option `trace`, without the driver `sun`, which
//! owns the SDK `sunlight` and alone brings `rays`, and without the option `echo`.

use driver_verify::{
    CompiledUnit, CrateId, Evidence, Fingerprint, Graph, Layer, Outcome, Package, PackageName, Question,
    Target, TargetKind, Verdict, judge,
};

use crate::fixture::Program;

pub(crate) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What `Cargo.lock` holds.
const LOCK: &[(&str, &str)] = &[
    ("gateway", "0.1.0"),
    ("driver-moon", "0.1.0"),
    ("driver-sun", "0.1.0"),
    ("sunlight", "2.1.0"),
    ("rays", "0.3.1"),
    ("moonlight", "1.0.0"),
    ("tokio", "1.54.1"),
    ("base", "1.0.0"),
    ("base", "2.0.0"),
    ("tracer", "4.0.0"),
    ("echoes", "5.0.0"),
];

pub(crate) fn sun() -> Target {
    Target {
        markers: vec!["arm:sun".to_owned(), "crate:driver-sun".to_owned()],
        crates: vec![
            CrateId::new("driver-sun", Some("0.1.0")).workspace().owned().proven(),
            CrateId::new("sunlight", Some("2.1.0")).owned().proven(),
            CrateId::new("rays", Some("0.3.1")).proven(),
            CrateId::new("base", Some("2.0.0")).proven(),
        ],
        fingerprints: vec![
            Fingerprint::learned("the sun did not answer", "driver-sun@0.1.0"),
            Fingerprint { proven: true, ..Fingerprint::declared("SUN_SOCKET_PATH", "sun") },
        ],
        ..Target::new("sun", TargetKind::Driver)
    }
}

pub(crate) fn question() -> Question {
    let core = Target {
        crates: vec![
            CrateId::new("gateway", Some("0.1.0")).workspace().proven(),
            CrateId::new("tokio", Some("1.54.1")).proven(),
            CrateId::new("base", Some("1.0.0")).proven(),
        ],
        fingerprints: vec![Fingerprint::learned("no driver was detected", "gateway@0.1.0")],
        ..Target::new("core", TargetKind::Core)
    };
    let moon = Target {
        markers: vec!["arm:moon".to_owned(), "crate:driver-moon".to_owned()],
        crates: vec![
            CrateId::new("driver-moon", Some("0.1.0")).workspace().owned().proven(),
            CrateId::new("moonlight", Some("1.0.0")).owned().proven(),
        ],
        ..Target::new("moon", TargetKind::Driver)
    };
    let trace = Target {
        crates: vec![CrateId::new("tracer", Some("4.0.0")).owned().proven()],
        ..Target::new("trace", TargetKind::Option)
    };
    let echo = Target {
        crates: vec![CrateId::new("echoes", Some("5.0.0")).owned().proven()],
        ..Target::new("echo", TargetKind::Option)
    };
    Question {
        subject: "moon".to_owned(),
        triple: Some(TRIPLE.to_owned()),
        is_guest: false,
        core,
        expected: vec![moon, trace],
        forbidden: vec![sun(), echo],
        known: LOCK
            .iter()
            .map(|(name, version)| PackageName { name: (*name).to_owned(), version: (*version).to_owned() })
            .collect(),
    }
}

/// The gateway as it should be.
pub(crate) fn clean() -> Program {
    Program::default()
        .text("/rustc/59807616e1/library/core/src/option.rs")
        .text("/cargo/registry/src/index/tokio-1.54.1/src/runtime/mod.rs")
        .text("/cargo/registry/src/index/base-1.0.0/src/lib.rs")
        .text("/cargo/registry/src/index/moonlight-1.0.0/src/lib.rs")
        .text("/cargo/registry/src/index/tracer-4.0.0/src/lib.rs")
        .text("crates/gateway/src/main.rs")
        .text("crates/driver-moon/src/lib.rs")
        .text("no driver was detected")
        .text("the driver `sun` is not in this build: cargo xtask build --drivers sun")
        .marker("arm:moon")
        .marker("crate:driver-moon")
        .report(&["moon"], &["trace"])
}

/// With symbols of core.
pub(crate) fn unstripped() -> Program {
    clean()
        .symbol("_ZN7gateway4main17h0123456789abcdefE")
        .symbol("_RNvMNtCs1234_5tokio7runtimeNtB2_7Runtime3new")
        .symbol("_ZN11driver_moon4open17h0123456789abcdefE")
        .symbol("not_rust_at_all")
}

pub(crate) fn graph(edges: &[(&str, &[&str])]) -> Graph {
    let index = |name: &str| LOCK.iter().position(|(known, _)| *known == name).expect("it is in the lock");
    let mut packages: Vec<Package> = LOCK
        .iter()
        .map(|(name, version)| Package {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            dependencies: Vec::new(),
        })
        .collect();
    for (from, to) in edges {
        packages[index(from)].dependencies.extend(to.iter().map(|to| index(to)));
    }
    Graph { root: 0, packages }
}

pub(crate) const EDGES: &[(&str, &[&str])] = &[
    ("gateway", &["tokio", "driver-moon", "tracer"]),
    ("driver-moon", &["moonlight", "base"]),
    ("driver-sun", &["sunlight"]),
    ("sunlight", &["rays"]),
];

pub(crate) fn units(names: &[&str]) -> Vec<CompiledUnit> {
    let version =
        |name: &str| LOCK.iter().find(|(known, _)| *known == name).expect("it is in the lock").1.to_owned();
    let unit = |name: &&str| CompiledUnit {
        name: (*name).to_owned(),
        version: version(name),
        features: vec!["default".to_owned()],
        host: false,
        target_kind: "lib".to_owned(),
    };
    names.iter().map(unit).collect()
}

pub(crate) const COMPILED: &[&str] = &["gateway", "tokio", "driver-moon", "moonlight", "base", "tracer"];

/// A file that was just built.
pub(crate) fn built(file: &[u8]) -> Evidence<'_> {
    Evidence { graph: Some(graph(EDGES)), messages: Some(units(COMPILED)), ..Evidence::of_file(file) }
}

pub(crate) fn of_file(file: &[u8]) -> Verdict {
    judge(&question(), &Evidence::of_file(file))
}

/// What a layer saw of a target.
pub(crate) fn outcome<'v>(verdict: &'v Verdict, target: &str, layer: Layer) -> &'v Outcome {
    let row = verdict.rows.iter().find(|row| row.target == target).expect("it was asked about");
    &row.layers[&layer]
}

/// The layers that leak, in order, each once.
pub(crate) fn leaking(verdict: &Verdict) -> Vec<Layer> {
    let mut layers: Vec<_> = verdict.leaks().map(|(_, layer, _)| layer).collect();
    layers.sort();
    layers.dedup();
    layers
}
