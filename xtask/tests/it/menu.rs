//! What a user meets: the lines of `--dry-run`, refusals with their hints, lists, and manifests that are no manifests.

use std::path::Path;

use super::{stderr, stdout, xtask};

const MANIFEST: &str = r#"
[[driver]]
name = "docker"
summary = "containers"
kind = "in-tree"
package = "openshell-driver-docker"
detect = true

[[driver]]
name = "vm"
summary = "virtual machines"
kind = "process"
package = "openshell-driver-vm"

[[driver]]
name = "external"
summary = "behind a socket"
kind = "socket"
default = true

[option.telemetry]
summary = "events"
features = ["openshell-core/telemetry"]
default = true

[preset.lean]
drivers = ["external"]
options = ["-telemetry"]
"#;

/// A directory that is a workspace as far as the menu looks before it calls cargo.
fn workspace(manifest: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory is writable");
    std::fs::write(dir.path().join("Cargo.toml"), "[workspace]\n")
        .expect("a temporary directory is writable");
    std::fs::write(dir.path().join("drivers.toml"), manifest).expect("a temporary directory is writable");
    dir
}

/// Standard output of a run that succeeds and leaves nothing behind.
fn dry_run(dir: &Path, args: &[&str]) -> String {
    let output = xtask(dir, &[&["build", "--dry-run"], args].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!dir.join("target").exists(), "nothing is built");
    stdout(&output)
}

const GATEWAY: &str =
    "cargo build -p openshell-server --bin openshell-gateway --no-default-features --features ";
const PROGRAM: &str = "cargo build -p openshell-drivers --bin openshell-driver-";

#[test]
fn a_dry_run_prints_the_lines_of_cargo_and_nothing_else() {
    let dir = workspace(MANIFEST.as_bytes());
    let lines = |args: &[&str]| dry_run(dir.path(), args);
    let expected = format!("{GATEWAY}driver-docker,driver-external,telemetry --release\n");
    assert_eq!(lines(&["--drivers", "external,docker"]), expected, "in the manifest's order");
    let expected = format!("{GATEWAY}driver-external --release\n");
    assert_eq!(lines(&["--preset", "lean"]), expected);
    let expected = format!("{GATEWAY}driver-docker --target x86_64-unknown-linux-musl --locked --offline\n");
    let flags = ["--drivers", "docker", "--without-option", "telemetry", "--profile", "dev", "--locked"];
    assert_eq!(
        lines(&[&flags[..], &["--offline", "--target", "x86_64-unknown-linux-musl"]].concat()),
        expected
    );
}

#[test]
fn a_process_driver_brings_its_program_in_a_call_of_its_own() {
    let dir = workspace(MANIFEST.as_bytes());
    let expected = format!(
        "{GATEWAY}driver-vm,telemetry --release\n\
         {PROGRAM}vm --no-default-features --features driver-vm,telemetry --release\n"
    );
    assert_eq!(dry_run(dir.path(), &["--drivers", "vm"]), expected);
}

#[test]
fn programs_are_built_by_themselves() {
    let dir = workspace(MANIFEST.as_bytes());
    let expected = format!(
        "{PROGRAM}docker --no-default-features --features driver-docker --profile dist\n\
         {PROGRAM}vm --no-default-features --features driver-vm --profile dist\n"
    );
    let args = ["--programs", "docker,vm", "--without-option", "telemetry", "--profile", "dist"];
    assert_eq!(dry_run(dir.path(), &args), expected);
    let refused = xtask(dir.path(), &["build", "--programs", "external"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("`external` has no program of ours"), "{}", stderr(&refused));
    let both = xtask(dir.path(), &["build", "--programs", "docker", "--all"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_configuration_says_what_it_needs() {
    let dir = workspace(MANIFEST.as_bytes());
    let config = dir.path().join("gateway.toml");
    let path = config.to_str().unwrap();
    for (text, feature) in [
        ("", "driver-docker"),
        ("[openshell.gateway]\ncompute_drivers = [\"vm\"]\n", "driver-vm"),
        ("[openshell.gateway]\ncompute_driver_socket = \"/run/x.sock\"\n", "driver-external"),
    ] {
        std::fs::write(&config, text).unwrap();
        let said = dry_run(dir.path(), &["--from-config", path]);
        assert!(said.starts_with(&format!("{GATEWAY}{feature},telemetry ")), "{said}");
    }
    let refusals: [(&[u8], &str); 5] = [
        (
            b"[openshell.gateway]\ncompute_drivers = [\"dokcer\"]\n",
            "gateway.toml`: no driver is named `dokcer`",
        ),
        (b"[openshell.gateway]\ncompute_drivers = [\"dokcer\"]\n", "did you mean `docker`?"),
        (b"[openshell.gateway]\ncompute_drivers = \"docker\"\n", "is not a list of names"),
        (b"[openshell\n", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8"),
    ];
    for (text, wanted) in refusals {
        std::fs::write(&config, text).unwrap();
        let output = xtask(dir.path(), &["build", "--from-config", path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
    }
    std::fs::remove_file(&config).unwrap();
    let output = xtask(dir.path(), &["build", "--from-config", path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("gateway.toml` is not there"), "{}", stderr(&output));
    std::fs::create_dir(&config).unwrap();
    let output = xtask(dir.path(), &["build", "--from-config", path]);
    assert!(stderr(&output).contains("gateway.toml` is a directory"), "{}", stderr(&output));
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest() {
    let dir = workspace(MANIFEST.as_bytes());
    let output = xtask(dir.path(), &["build", "--drivers", "dokcer,nothing", "--with-option", "telemetri"]);
    assert_eq!(output.status.code(), Some(2));
    let expected = "error: no driver is named `dokcer`: there are `docker`, `vm`, `external`\n\
                    error: no driver is named `nothing`: there are `docker`, `vm`, `external`\n\
                    error: no option is named `telemetri`: there are `telemetry`\n\
                    hint: did you mean `docker`?\n\
                    hint: `cargo xtask list` shows what there is\n\
                    hint: did you mean `telemetry`?\n";
    assert_eq!(stderr(&output), expected);
    assert_eq!(stdout(&output), "");
    assert!(!dir.path().join("target").exists(), "nothing is built");
}

#[test]
fn stale_generated_files_stop_a_build() {
    let dir = workspace(MANIFEST.as_bytes());
    let output = xtask(dir.path(), &["build", "--drivers", "docker"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("cargo xtask gen"), "{}", stderr(&output));
    assert!(!dir.path().join("target").exists(), "nothing is built");
}

#[test]
fn the_list_has_the_order_the_options_and_the_presets() {
    let dir = workspace(MANIFEST.as_bytes());
    let output = xtask(dir.path(), &["list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let names: Vec<_> = list["drivers"].as_array().unwrap().iter().map(|driver| &driver["name"]).collect();
    assert_eq!(names, ["docker", "vm", "external"]);
    assert_eq!(list["detect_order"], serde_json::json!(["docker"]));
    assert_eq!(list["presets"][0]["options"]["telemetry"], false);
    let text = stdout(&xtask(dir.path(), &["list"]));
    assert!(text.contains("docker    in-tree  1         yes      containers\n"), "{text}");
    assert!(text.contains("lean    external  -telemetry\n"), "{text}");
}

#[test]
fn what_is_no_manifest_is_said_and_nothing_is_left() {
    for bad in [&b""[..], b"\xff\xfe\x00", b"[[driver", b"name = 1\r\n", b"\0\0"] {
        let dir = workspace(bad);
        for args in [&["list"][..], &["build", "--all"], &["tidy"], &["size"], &["matrix", "--list"]] {
            let output = xtask(dir.path(), args);
            assert!(!output.status.success(), "{args:?}");
            assert!(stderr(&output).starts_with("error"), "{args:?}: {}", stderr(&output));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
    }
    let dir = workspace(b"");
    let manifest = dir.path().join("drivers.toml");
    std::fs::remove_file(&manifest).unwrap();
    std::fs::create_dir(&manifest).unwrap();
    for args in [&["list"][..], &["build", "--all"], &["tidy"], &["size"], &["matrix"], &["gen", "--check"]] {
        let said = stderr(&xtask(dir.path(), args));
        assert_eq!(
            said, "error: `drivers.toml` is a directory\nhint: git checkout drivers.toml\n",
            "{args:?}"
        );
    }
    let nowhere = tempfile::tempdir().unwrap();
    let output = xtask(nowhere.path(), &["list"]);
    assert!(stderr(&output).contains("no `drivers.toml` here or in a directory above"));
}
