//! Every `bad/NAME.toml` gives exactly `bad/NAME.stderr`. `SNAPSHOTS=overwrite` writes what is printed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use driver_manifest::{Code, Severity, Style};

use crate::support::{bytes, context, fixtures};

/// The stems of the files with an extension.
fn stems(directory: &Path, extension: &str) -> BTreeSet<String> {
    std::fs::read_dir(directory)
        .expect("the fixtures are there")
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| path.extension() == Some(OsStr::new(extension)))
        .map(|path| path.file_stem().expect("a stem").to_string_lossy().into_owned())
        .collect()
}

#[test]
fn bad_manifests_say_exactly_this() {
    let directory = fixtures().join("bad");
    let overwrite = std::env::var_os("SNAPSHOTS").is_some_and(|value| value == "overwrite");
    let manifests = stems(&directory, "toml");
    assert!(manifests.len() >= 45, "{} fixtures are fewer than there were", manifests.len());

    let mut wrong = Vec::new();
    for name in &manifests {
        let bytes = bytes(&directory.join(format!("{name}.toml")));
        let outcome = driver_manifest::read("drivers.toml", &bytes, &context(&bytes));
        let report = &outcome.report;
        let is_warning = report.diagnostics().iter().all(|found| found.severity == Severity::Warning);
        if report.is_empty() || outcome.assembly.is_some() != is_warning {
            wrong.push(format!("{name}.toml: an assembly is there exactly when there is no error\n{report}"));
        }
        let printed = report.render(Style::Plain);
        let path = directory.join(format!("{name}.stderr"));
        let expected = std::fs::read_to_string(&path).ok();
        if expected.as_deref() == Some(&printed) {
            continue;
        }
        if overwrite {
            std::fs::write(&path, printed).expect("the output can be written");
        } else {
            let expected = expected.as_deref().unwrap_or("(no file)\n");
            wrong.push(format!("{name}.toml\n--- expected\n{expected}--- printed\n{printed}"));
        }
    }
    for orphan in stems(&directory, "stderr").difference(&manifests) {
        wrong.push(format!("{orphan}.stderr has no {orphan}.toml"));
    }
    assert!(wrong.is_empty(), "{}\nSNAPSHOTS=overwrite writes what is printed", wrong.join("\n"));
}

#[test]
fn every_code_is_shown_by_a_fixture() {
    let directory = fixtures().join("bad");
    let seen: BTreeSet<Code> = stems(&directory, "toml")
        .iter()
        .flat_map(|name| {
            let bytes = bytes(&directory.join(format!("{name}.toml")));
            let report = driver_manifest::read("drivers.toml", &bytes, &context(&bytes)).report;
            report.diagnostics().iter().map(|found| found.code).collect::<Vec<_>>()
        })
        .collect();
    let missing: Vec<&str> =
        Code::ALL.iter().filter(|code| !seen.contains(code)).map(|code| code.as_str()).collect();
    assert!(missing.is_empty(), "no fixture shows {}", missing.join(", "));
}

#[test]
fn every_diagnostic_has_a_place_and_a_remedy() {
    let directory = fixtures().join("bad");
    for name in stems(&directory, "toml") {
        let bytes = bytes(&directory.join(format!("{name}.toml")));
        let report = driver_manifest::read("drivers.toml", &bytes, &context(&bytes)).report;
        for found in report.diagnostics().iter().filter(|found| found.code != Code::Syntax) {
            assert!(!found.hints.is_empty(), "{name}: {} has no hint", found.code.as_str());
        }
        for found in report.diagnostics() {
            let position = report.position(found.primary.span.start);
            let place = format!("--> drivers.toml:{}:{}\n", position.line, position.column);
            assert!(report.render(Style::Plain).contains(&place), "{name}: {place} is not printed");
        }
    }
}

#[test]
fn colour_is_there_when_it_is_asked_for() {
    let report = driver_manifest::read("drivers.toml", b"", &Default::default()).report;
    assert!(!report.render(Style::Plain).contains('\u{1b}'));
    assert!(report.render(Style::Coloured).contains('\u{1b}'));
}

#[test]
fn the_json_form_has_what_the_text_has() {
    let bytes = bytes(&fixtures().join("bad/duplicate-driver.toml"));
    let json = driver_manifest::read("drivers.toml", &bytes, &context(&bytes)).report.to_json();
    let found = &json["diagnostics"][0];
    assert_eq!(json["file"], "drivers.toml");
    assert_eq!(found["code"], "duplicate-driver");
    assert_eq!(found["severity"], "error");
    assert_eq!(found["secondary"][0]["text"], "first here");
    assert_eq!(found["primary"]["start"]["line"], 8);
    assert_eq!(found["primary"]["start"]["column"], 8);
}
