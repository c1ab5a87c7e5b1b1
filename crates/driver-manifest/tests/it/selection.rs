//! The table of selections: what is asked for, and what a build then holds.

use driver_manifest::{Request, SelectError, Selection};

use crate::support::assembly;

fn words(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

fn ask(drivers: &str, with: &str, without: &str) -> Request {
    Request {
        drivers: words(drivers),
        with_options: words(with),
        without_options: words(without),
        ..Request::default()
    }
}

fn select(request: &Request) -> Result<Selection, Vec<SelectError>> {
    assembly("whole.toml").select(request)
}

#[test]
fn what_is_asked_for_is_what_is_built() {
    let table = [
        ("external", "", "", "external", "driver-external telemetry"),
        ("external vm", "", "", "vm-external", "driver-vm driver-external telemetry"),
        ("vm vm", "", "", "vm", "driver-vm telemetry"),
        // A named socket driver implies the one that dials it.
        ("kyma", "", "", "kyma-external", "driver-kyma driver-external telemetry"),
        ("kyma external", "", "", "kyma-external", "driver-kyma driver-external telemetry"),
        // Options: only what is changed shows.
        ("vm", "", "telemetry", "vm-telemetry", "driver-vm"),
        ("vm", "telemetry", "", "vm", "driver-vm telemetry"),
        ("vm", "audit", "telemetry", "vm-telemetry+audit", "driver-vm audit"),
        ("vm", "", "audit", "vm", "driver-vm telemetry"),
    ];
    for (drivers, with, without, slug, features) in table {
        let selection = select(&ask(drivers, with, without)).expect("it can be had");
        assert_eq!(selection.slug(), slug, "{drivers} +{with} -{without}");
        assert_eq!(selection.features(), words(features), "{drivers} +{with} -{without}");
    }
}

#[test]
fn implied_drivers_and_programs_are_named() {
    let selection = select(&ask("kyma vm", "", "")).expect("it can be had");
    assert_eq!(selection.drivers, ["vm", "kyma", "external"]);
    assert_eq!(selection.implied, ["external"]);
    assert_eq!(selection.programs, ["openshell-driver-vm"]);
    let selection = select(&ask("kyma external", "", "")).expect("it can be had");
    assert!(selection.implied.is_empty() && selection.programs.is_empty());
    assert!(selection.guests.is_empty());
}

#[test]
fn the_guests_are_those_of_the_drivers_that_are_chosen() {
    let guests = |drivers| select(&ask(drivers, "", "")).expect("it can be had").guests;
    assert_eq!(guests("kubernetes"), ["openshell-sandbox"]);
    assert_eq!(guests("vm"), ["openshell-vm-init", "openshell-sandbox"]);
    assert_eq!(guests("vm kubernetes"), ["openshell-sandbox", "openshell-vm-init"]);
}

#[test]
fn presets_and_all() {
    let edge = Request { preset: Some("edge".to_owned()), ..Request::default() };
    assert_eq!(select(&edge).expect("it can be had").slug(), "vm-external-telemetry+audit");
    // The request's own words go over the preset's.
    let edge = Request { with_options: words("telemetry"), without_options: words("audit"), ..edge };
    assert_eq!(select(&edge).expect("it can be had").slug(), "vm-external");
    let foreign = Request { preset: Some("everything-foreign".to_owned()), ..Request::default() };
    assert_eq!(select(&foreign).expect("it can be had").slug(), "acme-kyma-external");
    let all = Request { all: true, ..Request::default() };
    let all = select(&all).expect("it can be had");
    assert_eq!(all.slug(), "kubernetes-vm-acme-local-kyma-external");
    assert!(all.implied.is_empty());
}

#[test]
fn the_defaults_are_the_default_features() {
    let selection = assembly("whole.toml").default_selection();
    assert_eq!(selection.drivers, ["kubernetes", "local", "external"]);
    assert_eq!(selection.options, ["telemetry"]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let request = Request { preset: Some("egde".to_owned()), ..ask("vn qqqq", "audti audit", "audit") };
    let errors = select(&request).expect_err("all of it is wrong");
    let said: Vec<(String, Option<String>)> =
        errors.iter().map(|error| (error.to_string(), error.hint())).collect();
    let names = "`kubernetes`, `vm`, `acme`, `local`, `kyma`, `external`";
    let expected = [
        (
            "no preset is named `egde`: there are `edge`, `everything-foreign`".to_owned(),
            "did you mean `edge`?",
        ),
        (
            "the drivers are selected in more than one way: `--drivers`, `--preset`".to_owned(),
            "keep one of them",
        ),
        (format!("no driver is named `vn`: there are {names}"), "did you mean `vm`?"),
        (format!("no driver is named `qqqq`: there are {names}"), "`cargo xtask list` shows what there is"),
        ("no option is named `audti`: there are `telemetry`, `audit`".to_owned(), "did you mean `audit`?"),
        (
            "the option `audit` is switched on and off".to_owned(),
            "keep one of `--with-option audit` and `--without-option audit`",
        ),
    ];
    let expected: Vec<(String, Option<String>)> =
        expected.into_iter().map(|(message, hint)| (message, Some(hint.to_owned()))).collect();
    assert_eq!(said, expected);
}

#[test]
fn nothing_is_not_a_selection() {
    for request in [Request::default(), Request { drivers: vec![" ".to_owned()], ..Request::default() }] {
        let errors = select(&request).expect_err("nothing is selected");
        assert!(matches!(errors.as_slice(), [SelectError::Nothing { .. }]), "{errors:?}");
        assert!(
            errors[0].hint().is_some_and(|hint| hint.starts_with("`cargo xtask build --drivers kubernetes`"))
        );
    }
}
