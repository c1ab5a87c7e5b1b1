//! Manifests that are right, and what they mean.

use std::path::Path;

use driver_manifest::{Budget, Context, CrateSource, Docs, Kind, Style};

use crate::support::{assembly, bytes};

#[test]
fn the_whole_schema_is_read() {
    let whole = assembly("whole.toml");
    assert_eq!(whole.names(), ["kubernetes", "vm", "acme", "local", "kyma", "external"]);

    let kubernetes = whole.driver("kubernetes").expect("it is there");
    assert_eq!(kubernetes.kind, Kind::InTree { package: "openshell-driver-kubernetes".to_owned() });
    assert_eq!(kubernetes.platforms, ["linux", "target_arch = \"x86_64\""]);
    assert_eq!(kubernetes.owns, ["kube", "k8s-openapi"]);
    assert_eq!(kubernetes.evidence, ["kube-client", "k8s.io/"]);
    let budget = Budget {
        crates: Some(90),
        bytes: Some(9_000_000),
        crates_percent: Some(75),
        bytes_percent: Some(100),
    };
    assert_eq!(kubernetes.budget, budget);
    assert_eq!(kubernetes.docs.runs, "pods of a cluster");
    assert!(kubernetes.detect && kubernetes.default);
    assert_eq!(kubernetes.feature(), "driver-kubernetes");
    assert_eq!(kubernetes.program().as_deref(), Some("openshell-driver-kubernetes"));

    let vm = whole.driver("vm").expect("it is there");
    assert_eq!(vm.kind, Kind::Process { package: "openshell-driver-vm".to_owned(), supervisor: true });
    assert_eq!(vm.docs, Docs { runs: "virtual machines of this host".to_owned(), boundary: String::new() });
    assert_eq!(vm.budget, Budget { crates: Some(4), ..Budget::default() });
    assert!(!vm.default && !vm.detect);
    assert_eq!(vm.guest, ["openshell-vm-init", "openshell-sandbox"]);
    assert_eq!(whole.guests(), ["openshell-sandbox", "openshell-vm-init"], "what two drivers have is one");

    let budget = Budget { crates: Some(240), bytes: Some(20_000_000), ..Budget::default() };
    assert_eq!(whole.budget, budget);

    let source = |name: &str| match whole.driver(name).map(|driver| &driver.kind) {
        Some(Kind::Crate { source, .. }) => source.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(source("acme"), CrateSource::Registry("1.2".to_owned()));
    assert_eq!(source("local"), CrateSource::Path("./third-party/local".to_owned()));
    assert!(!whole.driver("acme").expect("it is there").default, "what is not ours is not a default");

    let kyma = whole.driver("kyma").expect("it is there");
    assert_eq!(kyma.kind, Kind::Socket { path: Some("/run/kyma/driver.sock".to_owned()) });
    assert!(!kyma.default && kyma.program().is_none());

    assert_eq!(
        whole.options.iter().map(|option| option.name.as_str()).collect::<Vec<_>>(),
        ["telemetry", "audit"]
    );
    let edge = whole.preset("edge").expect("it is there");
    assert_eq!(edge.drivers, ["vm", "external"], "in the order of the manifest");
    assert_eq!(
        edge.options.iter().map(|(name, on)| (name.as_str(), *on)).collect::<Vec<_>>(),
        [("audit", true), ("telemetry", false)]
    );
}

#[test]
fn an_overlay_joins_the_main_manifest_in_the_order_it_asks_for() {
    let both = assembly("overlay.toml");
    assert_eq!(
        both.names(),
        ["pinned", "kubernetes", "second", "vm", "acme", "local", "kyma", "external", "last"]
    );
    let pinned = both.driver("pinned").expect("it is there");
    let Kind::Crate { source, .. } = &pinned.kind else { panic!("{pinned:?}") };
    assert_eq!(
        source,
        &CrateSource::Git {
            url: "https://example.com/pinned.git".to_owned(),
            rev: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        }
    );
    assert_eq!(both.preset("overlaid").expect("it is there").drivers, ["pinned", "second", "last"]);
    assert_eq!(both.options.len(), 3);
    let is_default = |name: &str| both.driver(name).expect("it is there").default;
    assert!(!is_default("kubernetes") && is_default("acme") && !is_default("pinned"));
    let main = assembly("whole.toml");
    assert_ne!(main.option("telemetry").map(|it| it.default), both.option("telemetry").map(|it| it.default));
    assert_eq!(both.budget.crates, Some(240), "the main manifest's");
}

#[test]
fn the_manifest_of_this_repository_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../drivers.toml");
    let outcome = driver_manifest::read("drivers.toml", &bytes(&path), &Context::default());
    assert_eq!(outcome.report.render(Style::Plain), "");
    let assembly = outcome.assembly.expect("there is no error");
    assert!(assembly.driver(driver_manifest::EXTERNAL).is_some());
}

#[test]
fn line_ends_and_a_mark_at_the_start_change_nothing() {
    let path = crate::support::fixtures().join("good/whole.toml");
    let plain = String::from_utf8(bytes(&path)).expect("it is UTF-8");
    let windows = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
    let read = |text: &str| driver_manifest::read("drivers.toml", text.as_bytes(), &Context::default());
    assert_eq!(read(&windows).assembly, read(&plain).assembly);
    assert!(read(&plain).assembly.is_some());
}
