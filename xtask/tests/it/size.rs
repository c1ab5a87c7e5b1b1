//! What a selection is worth and which files hold a crate, through the menu: exit codes, refusals, and that what one command
//! counts is what another does.

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
            _ => assert!(["program", "tool"].map(Value::from).contains(&holder["kind"])),
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
