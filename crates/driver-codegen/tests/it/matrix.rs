//! The rows of the matrix, from manifests of invented drivers: which there are, which are one, and what a CI service is
//! told of them.

use driver_codegen::matrix::{Does, POWERSET_LIMIT, Row, TooMany, Wanted, include, rows};
use driver_manifest::{Assembly, Context};
use serde_json::Value;

const MANIFEST: &str = r#"
[[driver]]
name = "alpha"
summary = "x"
kind = "in-tree"
package = "openshell-driver-alpha"
default = false
platforms = ["linux"]

[[driver]]
name = "beta"
summary = "x"
kind = "in-tree"
package = "openshell-driver-beta"
default = false

[[driver]]
name = "vm"
summary = "x"
kind = "process"
package = "openshell-driver-vm"
default = false
platforms = ["unix"]

[[driver]]
name = "external"
summary = "x"
kind = "socket"
default = true

[option.telemetry]
summary = "x"
features = ["openshell-core/telemetry"]
default = true

[option.trace]
summary = "x"
features = ["openshell-core/trace"]
default = false

[preset.lean]
drivers = ["external"]
options = ["-telemetry"]

[preset.everything]
drivers = ["alpha", "beta", "vm", "external"]

[preset.alpha-only]
drivers = ["alpha"]
"#;

const ALWAYS: &str = "\
refuse none
build default (external): external +telemetry
build alpha (alpha-only): alpha +telemetry
build beta: beta +telemetry
build vm: vm +telemetry
build lean: external
build everything (all): alpha,beta,vm,external +telemetry
build alpha-vm: alpha,vm +telemetry
build all-without-telemetry: alpha,beta,vm,external
";

fn assembly(manifest: &str) -> Assembly {
    let outcome = driver_manifest::read("drivers.toml", manifest.as_bytes(), &Context::default());
    outcome.into_result().expect("a manifest without a fault")
}

/// So many drivers, all of them defaults.
fn many(count: usize) -> Assembly {
    let driver = |number: usize| {
        format!(
            "[[driver]]\nname = \"d{number}\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"openshell-driver-d{number}\"\n"
        )
    };
    let external = "[[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\ndefault = true\n";
    assembly(&(1..count).map(driver).chain([external.to_owned()]).collect::<String>())
}

fn some(wanted: Wanted) -> Vec<Row> {
    rows(&assembly(MANIFEST), wanted).expect("not too many")
}

/// A line a row.
fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        text.push_str(&format!("{} {}", row.does.word(), row.name));
        if !row.also.is_empty() {
            text.push_str(&format!(" ({})", row.also.join(", ")));
        }
        if row.does != Does::Refuse {
            text.push_str(&format!(": {}", row.selection.drivers.join(",")));
        }
        text.extend(row.selection.options.iter().map(|option| format!(" +{option}")));
        text.push('\n');
    }
    text
}

/// What a wish adds to the rows that are always there.
fn added(wanted: Wanted) -> String {
    let all = text(&some(wanted));
    let always: Vec<&str> = ALWAYS.lines().collect();
    all.lines().filter(|line| !always.contains(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn no_driver_the_default_each_alone_each_preset_a_pair_all_and_options_off() {
    assert_eq!(text(&some(Wanted::default())), ALWAYS);
}

#[test]
fn what_is_wanted_beyond_is_added_once() {
    assert_eq!(
        added(Wanted { pairs: true, ..Wanted::default() }),
        "\
build alpha-beta: alpha,beta +telemetry
build alpha-external: alpha,external +telemetry
build beta-vm: beta,vm +telemetry
build beta-external: beta,external +telemetry
build vm-external: vm,external +telemetry
"
    );
    let trace = "build all-with-trace: alpha,beta,vm,external +telemetry +trace\n";
    assert_eq!(added(Wanted { options: true, ..Wanted::default() }), trace);
    let programs = "\
program program-alpha: alpha +telemetry
program program-alpha-without-telemetry: alpha
program program-beta: beta +telemetry
program program-beta-without-telemetry: beta
";
    assert_eq!(added(Wanted { programs: true, ..Wanted::default() }), programs);
    let both = added(Wanted { programs: true, options: true, ..Wanted::default() });
    assert!(both.contains("program program-beta-with-trace: beta +telemetry +trace\n"), "{both}");
}

#[test]
fn every_subset_is_built_or_checked_and_none_is_both() {
    for drivers in 1..=5 {
        let all = rows(&many(drivers), Wanted { powerset: true, ..Wanted::default() }).expect("not too many");
        let mut subsets: Vec<_> = all.iter().map(|row| row.selection.drivers.clone()).collect();
        subsets.sort();
        let count = subsets.len();
        subsets.dedup();
        assert_eq!((count, subsets.len()), (1 << drivers, 1 << drivers), "{drivers} drivers and none at all");
    }
    let too_many = rows(&many(POWERSET_LIMIT + 1), Wanted { powerset: true, ..Wanted::default() });
    assert_eq!(too_many, Err(TooMany { drivers: 9 }));
    assert_eq!(
        TooMany { drivers: 9 }.to_string(),
        "9 drivers have too many subsets to go through: 8 drivers are the most"
    );
    let without = Wanted { pairs: true, ..Wanted::default() };
    assert_eq!(rows(&many(9), without).expect("no subsets").len(), 1 + 1 + 9 + 9 * 8 / 2);
}

#[test]
fn one_driver_is_one_row() {
    let text = text(&rows(&many(1), Wanted { pairs: true, ..Wanted::default() }).expect("rows"));
    assert_eq!(text, "refuse none\nbuild default (external, all): external\n");
}

#[test]
fn a_name_that_is_taken_gets_its_group_before_it() {
    let manifest = format!("{MANIFEST}\n[preset.default]\ndrivers = [\"beta\", \"vm\"]\n");
    let rows = rows(&assembly(&manifest), Wanted::default()).expect("not too many");
    let names: Vec<&str> =
        rows.iter().flat_map(|row| row.also.iter().chain([&row.name])).map(String::as_str).collect();
    for name in &names {
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name} of {names:?}");
    }
    let named = |name: &str| rows.iter().find(|row| row.is(name)).map(|row| row.selection.drivers.join(","));
    assert_eq!(named("default").as_deref(), Some("external"));
    assert_eq!(named("preset-default").as_deref(), Some("beta,vm"));
}

#[test]
fn a_ci_service_is_told_what_it_needs() {
    let assembly = assembly(MANIFEST);
    let all = Wanted { pairs: true, options: true, programs: true, powerset: true };
    let rows = rows(&assembly, all).expect("not too many");
    let told = include(&assembly, &rows);
    let keys: Vec<&str> = told.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["include"], "GitHub takes any other key for a dimension");
    let told = told["include"].as_array().expect("a list");
    assert_eq!(told.len(), rows.len());
    for (row, told) in rows.iter().zip(told) {
        let keys: Vec<&str> = told.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(keys, ["also", "build", "does", "drivers", "name", "platforms"]);
        assert_eq!(told["name"], row.name.as_str());
        assert_eq!(told["drivers"], row.selection.drivers.join(","));
        assert_eq!(told["build"].is_string(), matches!(row.does, Does::Build | Does::Program));
    }
    let told_of = |name: &str| told.iter().find(|row| row["name"] == name).cloned().unwrap_or(Value::Null);
    assert_eq!(
        told_of("all-without-telemetry")["build"],
        "cargo xtask build --drivers alpha,beta,vm,external --without-option telemetry"
    );
    assert_eq!(
        told_of("program-beta-with-trace")["build"],
        "cargo xtask build --programs beta --with-option trace"
    );
    assert_eq!(told_of("alpha-vm")["platforms"], serde_json::json!(["linux", "unix"]));
}
