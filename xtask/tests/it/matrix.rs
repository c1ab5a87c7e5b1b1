//! The matrix as a user and a CI service meet it, of a manifest whose drivers are nobody's: what is listed and what is
//! refused. What the rows do is seen by running them (`cargo xtask ci matrix`).

use super::{root, stderr, stdout, xtask};

const MANIFEST: &str = r#"
[[driver]]
name = "alpha"
summary = "x"
kind = "in-tree"
package = "openshell-driver-alpha"
default = false

[[driver]]
name = "external"
summary = "x"
kind = "socket"
default = true

[option.telemetry]
summary = "x"
features = ["openshell-core/telemetry"]
default = true
"#;

/// Runs `matrix` where there is nothing but a manifest; gives the exit code, and what is printed and said.
fn matrix(args: &[&str]) -> (Option<i32>, String, String) {
    let dir = tempfile::tempdir().expect("a temporary directory is writable");
    for (name, text) in [("Cargo.toml", "[workspace]\n"), ("drivers.toml", MANIFEST)] {
        std::fs::write(dir.path().join(name), text).expect("a temporary directory is writable");
    }
    let output = xtask(dir.path(), &[&["matrix"], args].concat());
    assert!(!dir.path().join("target").exists(), "nothing is built");
    (output.status.code(), stdout(&output), stderr(&output))
}

fn listed(args: &[&str]) -> String {
    let (code, text, said) = matrix(&[&["--list"], args].concat());
    assert_eq!(code, Some(0), "{said}");
    text
}

#[test]
fn the_list_is_a_table() {
    assert_eq!(
        listed(&["--powerset", "--programs"]),
        "\
row                              does     drivers         options
none                             refuse   -               -
default (external)               build    external        telemetry
alpha                            build    alpha           telemetry
alpha-external (all)             build    alpha,external  telemetry
all-without-telemetry            build    alpha,external  -
program-alpha                    program  alpha           telemetry
program-alpha-without-telemetry  program  alpha           -
"
    );
    assert_eq!(
        listed(&["all"]),
        "row                   does   drivers         options\n\
         alpha-external (all)  build  alpha,external  telemetry\n"
    );
}

#[test]
fn the_list_for_a_ci_service_is_one_line() {
    let text = listed(&["--json"]);
    assert_eq!(text.lines().count(), 1, "what stands in one line can be an output of a step: {text}");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let names: Vec<&str> =
        value["include"].as_array().expect("a list").iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names, ["none", "default", "alpha", "alpha-external", "all-without-telemetry"]);
}

#[test]
fn parts_of_the_list_are_the_list() {
    let table = listed(&[]);
    let mut whole: Vec<&str> =
        table.lines().skip(1).map(|line| line.split(' ').next().unwrap_or_default()).collect();
    let parts: Vec<String> = ["1/2", "2/2"].map(|part| listed(&["--json", "--partition", part])).into();
    let rows = parts.iter().flat_map(|part| {
        let part: serde_json::Value = serde_json::from_str(part).expect("JSON");
        let rows = part["include"].as_array().cloned().unwrap_or_default();
        rows.into_iter().filter_map(|row| row["name"].as_str().map(ToOwned::to_owned))
    });
    let mut rows: Vec<String> = rows.collect();
    rows.sort();
    whole.sort_unstable();
    assert_eq!(rows, whole);
}

#[test]
fn what_is_committed_is_what_is_listed() {
    let text = stdout(&xtask(root(), &["matrix", "--list", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let text = std::fs::read_to_string(root().join("ci/generated/matrix.json")).expect("`gen` made it");
    let committed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(committed["include"], listed["include"]);
}

#[test]
fn a_wrong_call_is_told_what_is_wrong() {
    let refused = |args: &[&str], wanted: &str| {
        let (code, text, said) = matrix(args);
        assert_eq!((code, text.as_str()), (Some(2), ""), "{args:?}: {said}");
        assert!(said.contains(wanted), "{args:?}: {said}");
    };
    refused(&["--partition", "3"], "'--partition <M/N>': that is not M/N, such as 1/4");
    refused(&["--partition", "0/2"], "there is no part 0 of 2: parts are numbered from 1 to 2");
    refused(&["--partition", "3/2"], "there is no part 3 of 2: parts are numbered from 1 to 2");
    refused(&["--partition", "1/0"], "there is no division into 0 parts");
    refused(&["--partition", "x/2"], "`x` is not a whole number");
    refused(&["--partition", "1/2", "all"], "cannot be used with");
    refused(
        &["dokcer"],
        "error: no row of the matrix is named `dokcer`\nhint: there are none, default, alpha, alpha-external, all-without-telemetry;",
    );
}

#[test]
fn stale_generated_files_stop_it() {
    let (code, _, said) = matrix(&[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("generated files do not match `drivers.toml`; nothing was built"), "{said}");
}
