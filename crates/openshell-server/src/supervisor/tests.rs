//! What is found, what is refused, and in which words.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use openshell_core::config::SandboxEndpoint;
use openshell_core::shell::Remedy as _;
use openshell_driver_api::Tried;

use super::*;

fn asked<'a>(configured: Option<&'a Path>, explicit: bool) -> Asked<'a> {
    Asked { driver: "moon", configured, explicit }
}

fn nothing() -> ProgramSought {
    let tried = |candidate: &str| Tried { candidate: candidate.to_owned(), outcome: program::NOTHING.into() };
    ProgramSought { path: None, tried: vec![tried("/a/openshell-sandbox"), tried("/b/openshell-sandbox")] }
}

/// A program of these words, and what becomes of it.
fn judged(text: &[u8]) -> Result<Builtin, String> {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join(PROGRAM_NAME);
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("its mode");
    let shown = path.display().to_string();
    let sought = ProgramSought { path: Some(path), tried: Vec::new() };
    asked(None, false).found(sought).map_err(|why| why.replace(&shown, "PATH"))
}

#[test]
fn one_that_is_missing_is_an_error_to_who_asked_for_it() {
    let why = asked(None, true).found(nothing()).expect_err("nothing is there");
    let error = asked(None, true).without(&why, &mut Vec::new()).expect_err("it was asked for");
    assert_eq!(
        error.render(),
        "error: the supervisor for sandboxes cannot be used: `openshell-sandbox` is at none of \
         `/a/openshell-sandbox`, `/b/openshell-sandbox`\n\
         hint: build it: cargo xtask build --drivers moon\n\
         hint: or say where it is: supervisor_path = \"/path/to/openshell-sandbox\" in [openshell.gateway]\n\
         hint: or do without it: supervisor = \"none\" in [openshell.drivers.moon]\n"
    );
    let place = Path::new("/nowhere/x");
    let asked = asked(Some(place), false);
    let why = asked.found(nothing()).expect_err("nothing is there");
    assert_eq!(why, "there is nothing at `/nowhere/x`, where `supervisor_path` says that it is");
    assert!(asked.without(&why, &mut Vec::new()).is_err(), "a path that somebody gave has to be right");
}

#[test]
fn one_that_is_missing_is_a_line_to_who_did_not() {
    let mut warnings = Vec::new();
    let asked = asked(None, false);
    let why = asked.found(nothing()).expect_err("nothing is there");
    asked.without(&why, &mut warnings).expect("a start without it");
    let rendered: String = warnings.iter().map(|warning| warning.render("warning")).collect();
    assert_eq!(
        rendered,
        "warning: sandboxes get no supervisor: `openshell-sandbox` is at none of `/a/openshell-sandbox`, \
         `/b/openshell-sandbox`; there is no exec, no upload or download, no log and no port forward, and the backend's \
         word alone says whether a sandbox is ready; hint: cargo xtask build --drivers moon\n"
    );
}

#[test]
fn one_that_may_not_be_started_says_why() {
    let mut sought = nothing();
    sought.tried[1].outcome = "writable by others (mode 0757)".to_owned();
    let why = asked(None, false).found(sought).expect_err("it is not trusted");
    assert_eq!(why, "`/b/openshell-sandbox` is writable by others (mode 0757)");
}

#[test]
fn its_version_is_its_own_word() {
    let found = judged(b"#!/bin/sh\necho openshell-sandbox 7.8.9\n").expect("a supervisor");
    assert_eq!(found.version, "7.8.9");
    assert!(found.program.is_absolute());
    let warning = found.of_another_version();
    assert_eq!(
        warning.message,
        format!(
            "the supervisor `{}` is of version 7.8.9, and this gateway of {VERSION}",
            found.program.display()
        )
    );
    let other = "`PATH` is no `openshell-sandbox`: it does not say its name and version to `--version`";
    for script in ["#!/bin/sh\necho moon 1\n", "#!/bin/sh\necho openshell-sandbox 1; exit 1\n", "#!/bin/sh\n"]
    {
        assert_eq!(judged(script.as_bytes()).expect_err(script), other);
    }
    let error = judged(b"\x00").expect_err("no program");
    assert!(error.starts_with("`PATH` cannot be started: "), "{error}");
}

#[test]
fn one_that_needs_libraries_of_an_image_is_refused() {
    // This test is a program that does, and nothing else here is.
    let this = std::env::current_exe().expect("a program");
    let dynamic = needs_libraries(&this).expect("it can be read");
    assert_eq!(dynamic, cfg!(not(target_feature = "crt-static")));
    if dynamic {
        let refused = judged(&fs::read(&this).expect("it can be read")).expect_err("not static");
        assert_eq!(
            refused,
            "`PATH` is not linked static: it would look for its libraries in every sandbox's image"
        );
    }
    // Cut off, or with headers that point nowhere: no panic.
    for damaged in [&b"\x7fELF\x02\x01"[..], &[&b"\x7fELF\x02\x01"[..], &[0xff; 100]].concat()] {
        assert!(judged(damaged).is_err());
    }
}

#[test]
fn a_driver_that_delivers_over_the_network_needs_a_listener() {
    let mut warnings = Vec::new();
    let error = over_the_network(None, "moon", true, &mut warnings).expect_err("it was asked for");
    assert_eq!(
        error.render(),
        "error: the supervisor for sandboxes cannot be used: they could not reach the gateway, which listens for no \
         sandbox\n\
         hint: say where it listens: sandbox_bind_address = \"IP:PORT\" in [openshell.gateway]\n\
         hint: or do without it: supervisor = \"none\" in [openshell.drivers.moon]\n"
    );
    let none = over_the_network(None, "moon", false, &mut warnings).expect("a start without it");
    assert_eq!(none, None);
    let rendered: String = warnings.iter().map(|warning| warning.render("warning")).collect();
    assert!(rendered.contains("no supervisor") && rendered.contains("sandbox_bind_address"), "{rendered}");
    let endpoint = SandboxEndpoint { host: "gw".to_owned(), port: 2 };
    let sandboxes = SandboxSettings { address: SocketAddr::from(([10, 0, 0, 1], 1)), endpoint };
    let found = over_the_network(Some(&sandboxes), "moon", true, &mut Vec::new()).expect("a listener");
    let found = found.expect("a supervisor");
    assert_eq!(found.network(), Some(&sandboxes));
    assert_eq!(found.to_string(), "out of an image, dials https://gw:2");
}
