//! What a selection is worth and which files hold a crate, through the menu: exit codes, refusals, and that what one command
//! counts is what another does.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{root, stderr, stdout, xtask};

/// A run's exit code and what it printed.
fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = xtask(root(), args);
    (output.status.code(), stdout(&output), stderr(&output))
}

fn json(args: &[&str]) -> Value {
    let (code, said, error) = run(args);
    assert_eq!(code, Some(0), "{error}");
    serde_json::from_str(&said).expect("JSON")
}

#[test]
fn every_driver_and_option_is_weighed_against_the_same_two_builds() {
    let worth = json(&["size", "worth", "--json"]);
    let list = json(&["list", "--json"]);
    let names = |value: &Value| -> Vec<String> {
        let entries = value.as_array().expect("a list").iter();
        entries.map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect()
    };
    let wanted = [names(&list["drivers"]), names(&list["options"])].concat();
    assert_eq!(names(&worth["parts"]), wanted);
    let (smallest, fullest) = (&worth["smallest"], &worth["fullest"]);
    assert!(smallest["crates"].as_u64() < fullest["crates"].as_u64());
    for part in worth["parts"].as_array().expect("a list") {
        let own = part["only"].as_array().expect("a list").len() as i64;
        let takes = part["takes"]["crates"].as_i64().expect("a number");
        // Nothing else can bring them, whatever two parts may bring together.
        assert!(own <= takes, "{part:#}");
        assert_eq!(part["adds"]["bytes"], Value::Null, "nothing was built");
    }
    let word = |side: &Value| side["selection"].as_str().expect("a name").to_owned();
    let diff = json(&["size", "diff", &word(smallest), &word(fullest), "--json"]);
    assert_eq!(diff["a"]["crates"], smallest["crates"]);
    assert_eq!(diff["b"]["crates"], fullest["crates"]);
}

#[test]
fn a_selection_against_itself_differs_in_nothing() {
    let diff = json(&["size", "diff", "all", "all", "--json"]);
    assert_eq!(diff["common"], diff["a"]["crates"]);
    for list in ["only_a", "only_b", "versions"] {
        assert_eq!(diff[list], serde_json::json!([]));
    }
    let (code, _, error) = run(&["size", "diff", "all", "no-such-thing"]);
    assert_eq!(code, Some(2));
    assert!(error.starts_with("error: no driver is named `no-such-thing`"), "{error}");
}

#[test]
fn what_holds_a_crate_is_told_by_its_exit_code() {
    let answer = json(&["affected", "openshell-core", "--json"]);
    for holder in answer["searched"].as_array().expect("a list") {
        let path = holder["holds"][0]["path"].as_array().map(|path| (path.first(), path.last()));
        match holder["kind"].as_str() {
            Some("gateway") => {
                let ends = (Some(&Value::from("openshell-server")), Some(&Value::from("openshell-core")));
                assert_eq!(path, Some(ends), "{holder:#}");
            }
            _ => assert!(["program", "guest", "tool"].map(Value::from).contains(&holder["kind"])),
        }
    }
    let (code, said, _) = run(&["affected", "openshell-core@<0.0.1"]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("no version in Cargo.lock is meant by `openshell-core@<0.0.1`: "), "{said}");
    let (code, _, error) = run(&["affected", "openshell-croe"]);
    assert_eq!(code, Some(2));
    assert_eq!(
        error,
        "error: no crate in Cargo.lock is named `openshell-croe`\nhint: did you mean `openshell-core`?\n"
    );
    let (code, said, _) = run(&["affected", "--help"]);
    assert!(code == Some(0) && said.contains("Exit codes: 0 something holds it, 1 nothing does"), "{said}");
}

const MANIFEST: &str = r#"
[[driver]]
name = "alpha"
summary = "containers"
kind = "in-tree"
package = "openshell-driver-alpha"
budget = { crates = 2, bytes = 10 }

[[driver]]
name = "external"
summary = "behind a socket"
kind = "socket"
"#;

/// A project whose gateway is built in a moment, generated into.
fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let put = |path: &str, text: &str| {
        let place = dir.path().join(path);
        fs::create_dir_all(place.parent().expect("a file has a directory")).expect("a directory");
        fs::write(place, text).expect("a file");
    };
    let remote = "openshell-driver-remote = { path = \"crates/openshell-driver-remote\" }";
    let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n\n[workspace.dependencies]\n";
    put("Cargo.toml", &format!("{workspace}{remote}\n"));
    put(".cargo/config.toml", "[build]\ntarget = \"host-tuple\"\n");
    put("drivers.toml", MANIFEST);
    let tables = ["drivers", "detection", "options", "presets"]
        .map(|name| format!("<!-- gen:{name} begin -->\n<!-- gen:{name} end -->\n"));
    put("README.md", &tables[0]);
    put("docs/compute-runtimes.md", &tables.concat());
    for name in ["server", "drivers", "driver-alpha", "driver-remote"] {
        let bin = if name == "server" {
            "\n[[bin]]\nname = \"openshell-gateway\"\npath = \"main.rs\"\n"
        } else {
            ""
        };
        let api = "\n[package.metadata.openshell-driver]\napi = \"1\"\n";
        let package =
            format!("[package]\nname = \"openshell-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        put(&format!("crates/openshell-{name}/Cargo.toml"), &format!("{package}{bin}{api}"));
        put(&format!("crates/openshell-{name}/src/lib.rs"), "//! Stub.\n");
    }
    put("crates/openshell-server/main.rs", "//! Stub.\n\nfn main() {}\n");
    let made = xtask(dir.path(), &["gen"]);
    assert!(made.status.success(), "{}", stderr(&made));
    dir
}

#[test]
fn clean_builds_give_bytes_and_seconds_and_leave_nothing() {
    let project = project();
    let output = xtask(project.path(), &["size", "worth", "--build", "--profile", "dev", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let worth: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    for build in ["smallest", "fullest"] {
        assert!(worth[build]["bytes"].as_u64() > Some(1000), "{worth:#}");
        assert!(worth[build]["seconds"].as_f64() > Some(0.0), "{worth:#}");
    }
    assert!(worth["measured"].as_str().is_some_and(|text| text.contains("profile `dev`")), "{worth:#}");
    for part in worth["parts"].as_array().expect("a list") {
        assert_eq!((&part["adds"]["crates"], &part["takes"]["crates"]), (&Value::from(1), &Value::from(1)));
        assert!(part["takes"]["bytes"].is_i64() && part["takes"]["seconds"].is_f64(), "{part:#}");
    }
    let left = fs::read_dir(project.path().join("target")).expect("a directory").flatten();
    assert!(left.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("clean-")));
}

#[test]
fn a_build_beyond_its_budget_leaves_no_folder() {
    let project = project();
    let build = |args: &[&str]| xtask(project.path(), &[&["build", "--drivers", "alpha"], args].concat());
    let folder = project.path().join("target/gateways/alpha");
    let output = build(&[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: the gateway with `alpha` alone has "), "{said}");
    assert!(said.contains(" bytes, ") && said.contains(" more than its budget of 10\n"), "{said}");
    assert!(!folder.join("release").read_dir().is_ok_and(|mut entries| entries.next().is_some()));
    let output = build(&["--no-verify"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(folder.join("release").is_dir());
    let manifest = fs::read_to_string(project.path().join("drivers.toml")).expect("a file");
    fs::write(project.path().join("drivers.toml"), manifest.replace("crates = 2", "crates = 1"))
        .expect("a file");
    assert!(xtask(project.path(), &["gen"]).status.success());
    let said = stderr(&build(&["--profile", "dev"]));
    assert!(
        said.contains("error: the gateway with `alpha` alone has 2 crates, 1 more than its budget of 1\n"),
        "{said}"
    );
    assert!(!folder.join("dev").exists(), "nothing was compiled");
}

/// The lists are written where they are at home alone.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn a_crate_that_comes_in_is_a_line_with_its_way() {
    let project = project();
    let golden = |args: &[&str]| xtask(project.path(), &[&["size", "golden"], args].concat());
    assert_eq!(golden(&[]).status.code(), Some(1), "there are no lists yet");
    assert!(golden(&["--write"]).status.success());
    assert!(golden(&["--check"]).status.success());
    let crates = project.path().join("crates");
    fs::create_dir_all(crates.join("sdk/src")).expect("a directory");
    let package = "[package]\nname = \"sdk\"\nversion = \"1.2.3\"\nedition = \"2024\"\n";
    fs::write(crates.join("sdk/Cargo.toml"), package).expect("a file");
    fs::write(crates.join("sdk/src/lib.rs"), "//! Stub.\n").expect("a file");
    let alpha = crates.join("openshell-driver-alpha/Cargo.toml");
    let text = fs::read_to_string(&alpha).expect("a file");
    fs::write(&alpha, text + "\n[dependencies]\nsdk = { path = \"../sdk\" }\n").expect("a file");
    let mut cargo = Command::new("cargo");
    let updated = cargo.args(["update", "--workspace", "--offline"]).current_dir(project.path()).output();
    assert!(updated.expect("cargo runs").status.success());
    let output = golden(&["--check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    assert!(said.starts_with("+ sdk 1.2.3\n    in alpha"), "{said}");
    assert!(said.contains("\n    by openshell-server → openshell-driver-alpha → sdk\n"), "{said}");
    assert!(stderr(&output).contains("hint: `cargo xtask size golden --write` if that is meant"));
}
