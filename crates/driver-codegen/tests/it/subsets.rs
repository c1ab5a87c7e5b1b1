//! What is generated compiles without a warning, for every subset of the drivers: the fixture in a workspace of
//! stub crates, with the real tables' types and the real marker macro.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{assembly, copy_of_fixture, generated};

const CATALOG: &str = include_str!("../../../openshell-core/src/catalog.rs");
const MARKER: &str = include_str!("../../../openshell-driver-api/src/marker.rs");
const ROOT: &str = include_str!("../../../../Cargo.toml");

const API: &str = "//! Stub.
pub mod marker;
/// Stub.
pub trait DriverFactory: Send + Sync + 'static {}
/// Stub.
pub trait Dialer: Send + Sync + 'static {}
/// Stub.
pub trait Launcher: Send + Sync + 'static {}
/// As the real one.
pub struct Registration {
    /// The crate.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What makes the driver.
    pub factory: &'static dyn DriverFactory,
    /// The marker.
    pub marker: &'static [u8],
}
";

const DRIVER: &str = "//! Stub.
/// Stub.
pub struct Factory;
impl openshell_driver_api::DriverFactory for Factory {}
openshell_driver_api::register!(Factory);
";

const REMOTE: &str = "//! Stub.
/// Stub.
pub struct Remote;
impl openshell_driver_api::Dialer for Remote {}
/// The dialer.
pub static DIALER: Remote = Remote;
impl openshell_driver_api::Launcher for Remote {}
/// The launcher.
pub static LAUNCHER: Remote = Remote;
";

/// Reads every field, as the gateway does.
const MAIN: &str = "//! Stub.
#[rustfmt::skip]
mod generated;

fn main() {
    let catalog = &generated::CATALOG;
    let options: Vec<_> = catalog.options.iter().filter(|option| option.compiled).map(|option| option.name).collect();
    let drivers: Vec<_> = catalog.compiled_in().map(|driver| driver.name).collect();
    println!(\"{drivers:?} {options:?} {} {}\", catalog.dialer.is_some(), catalog.launcher.is_some());
}
";

const RUN: &str = "//! Stub.
#[rustfmt::skip]
mod generated;

/// As the real one.
pub fn run(name: &'static str, registration: &'static openshell_driver_api::Registration) -> std::process::ExitCode {
    println!(\"{name} {} {}\", registration.package, generated::CATALOG.options.len());
    std::process::ExitCode::SUCCESS
}
";

/// A workspace with the fixture's output in it.
struct Workspace {
    directory: tempfile::TempDir,
    /// Names of the drivers that this machine can run, and of the others.
    here: Vec<String>,
    elsewhere: Vec<String>,
}

impl Workspace {
    fn new() -> Self {
        let directory = copy_of_fixture();
        let root = directory.path();
        generated(root);
        let lints = ROOT
            .split_once("[workspace.lints.rust]")
            .and_then(|(_, rest)| rest.split_once("\n[profile"))
            .expect("the lints")
            .0;
        let manifest = format!(
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n\n[workspace.dependencies]\n\
             openshell-driver-remote = {{ path = \"crates/openshell-driver-remote\" }}\n\n[workspace.lints.rust]{lints}\n"
        );
        fs::write(root.join("Cargo.toml"), manifest).expect("the root manifest");
        let api = "openshell-driver-api = { path = \"../openshell-driver-api\" }";
        package(root, "crates/openshell-driver-api", "", "", API);
        fs::write(root.join("crates/openshell-driver-api/src/marker.rs"), MARKER).expect("a source");
        package(
            root,
            "crates/openshell-core",
            api,
            "telemetry = []\ntrace = []",
            "//! Stub.\npub mod catalog;\n",
        );
        fs::write(root.join("crates/openshell-core/src/catalog.rs"), CATALOG).expect("a source");
        for name in ["alpha", "beta", "gamma", "vm"] {
            package(root, &format!("crates/openshell-driver-{name}"), api, "telemetry = []", DRIVER);
        }
        package(root, "crates/openshell-driver-remote", api, "process = []", REMOTE);
        package(root, "crates/zeta", "", "", "//! Stub.\n");
        let api = api.replace("../", "../../crates/");
        package(root, "vendor/theirs", &api, "", DRIVER);
        for (path, text) in [
            ("server/src/main.rs", MAIN),
            ("drivers/src/lib.rs", RUN),
            ("drivers/src/by-hand.rs", "//! Stub.\nfn main() {}\n"),
        ] {
            fs::write(root.join(format!("crates/openshell-{path}")), text).expect("a source");
        }
        let names = assembly(&fs::read_to_string(root.join("drivers.toml")).expect("the manifest")).drivers;
        let (elsewhere, here) = names.into_iter().map(|driver| driver.name).partition(|name| name == "gamma");
        Self { directory, here, elsewhere }
    }

    /// `cargo check` of one program with these features, and what it says.
    fn check(&self, package: &str, program: &str, features: &str) -> Result<(), String> {
        let root = self.directory.path();
        let mut command = Command::new(env!("CARGO"));
        for name in ["CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
            command.env_remove(name);
        }
        let output = command
            .args(["check", "--offline", "--quiet", "--color", "never", "--no-default-features"])
            .args(["-p", package, "--bin", program, "--features", features])
            .current_dir(root)
            .env("CARGO_TARGET_DIR", root.join("target"))
            .env("RUSTFLAGS", "-D warnings")
            .output()
            .expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // A warning of cargo itself is no failure of rustc's.
        if output.status.success() && said.is_empty() { Ok(()) } else { Err(said) }
    }

    fn check_gateway(&self, drivers: &[&str], options: &[&str]) -> Result<(), String> {
        let drivers = drivers.iter().map(|name| format!("driver-{name}"));
        let features: Vec<String> = drivers.chain(options.iter().map(|name| (*name).to_owned())).collect();
        self.check("openshell-server", "openshell-gateway", &features.join(","))
    }
}

fn package(root: &Path, path: &str, dependencies: &str, features: &str, source: &str) {
    let name = match path.rsplit_once('/').expect("a directory").1 {
        "theirs" => "theirs-openshell",
        name => name,
    };
    let place = root.join(path);
    fs::create_dir_all(place.join("src")).expect("a directory");
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[features]\n{features}\n\n\
         [dependencies]\n{dependencies}\n\n[lints]\nworkspace = true\n"
    );
    fs::write(place.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(place.join("src/lib.rs"), source).expect("a source");
}

#[test]
fn programs_compile_without_a_warning() {
    let workspace = Workspace::new();
    for name in ["alpha", "beta-pod", "gamma", "vm", "foreign"] {
        for options in ["", ",telemetry,trace"] {
            let program = format!("openshell-driver-{name}");
            let said = workspace.check("openshell-drivers", &program, &format!("driver-{name}{options}"));
            assert_eq!(said, Ok(()), "{program}");
        }
    }
}

#[test]
fn a_gateway_without_a_driver_says_which_there_are() {
    let workspace = Workspace::new();
    let none = workspace.check_gateway(&[], &["telemetry"]).expect_err("no driver");
    let expected = "error: this gateway has no compute driver; enable at least one of these features:
         driver-alpha     containers on an alpha engine
         driver-beta-pod  pods on a beta cluster (on linux, macos or windows only)
         driver-gamma     guests of an old workstation (on target_arch = \"sparc64\" only)
         driver-vm        virtual machines (on unix only)
         driver-foreign   somebody else's crate
         driver-external  any driver behind a Unix socket
         driver-kyma      a named driver behind a socket
         driver-lxd       a named driver whose socket the operator gives
       hint: cargo xtask build --drivers alpha\n";
    assert!(none.starts_with(expected), "{none}");
    let errors: Vec<&str> =
        none.lines().filter(|line| line.starts_with("error") || line.starts_with("warning")).collect();
    assert_eq!(errors.len(), 2, "one error, and cargo's own line: {none}");
    // A driver of another platform alone is none either.
    let elsewhere = workspace.check_gateway(&["gamma"], &[]).expect_err("no driver for this platform");
    assert!(elsewhere.starts_with(expected), "{elsewhere}");
}

#[test]
fn every_subset_compiles_without_a_warning() {
    let workspace = Workspace::new();
    // `lxd` is to what is generated the same as `kyma`, and would double the time.
    let names = workspace.here.iter().chain(&workspace.elsewhere).map(String::as_str);
    let names: Vec<&str> = names.filter(|name| *name != "lxd").collect();
    for subset in 1_u32..1 << names.len() {
        let drivers: Vec<&str> = names
            .iter()
            .enumerate()
            .filter(|(bit, _)| subset >> bit & 1 == 1)
            .map(|(_, name)| *name)
            .collect();
        // Options and drivers do not meet in what is generated: not every pair is needed.
        let options: &[&str] = [&[][..], &["telemetry"], &["trace", "extra"]][subset as usize % 3];
        let runs_here = drivers.iter().any(|name| workspace.here.iter().any(|here| here == name));
        let said = workspace.check_gateway(&drivers, options);
        assert_eq!(said.is_ok(), runs_here, "{drivers:?} with {options:?}: {said:?}");
    }
}
