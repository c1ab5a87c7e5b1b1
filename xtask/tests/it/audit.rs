//! The section `.dep-v0` on a real gateway: it runs as before, and the tools of the platform find nothing wrong with it.

#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use driver_verify::{AuditedPackage, Image, attach, audit_section};

use super::verify::gateway;

/// What a command says, and on standard error; `None` where there is no such command.
fn said(program: &str, args: &[&str], file: &Path) -> Option<(String, String)> {
    let output = match Command::new(program).args(args).arg(file).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: `{program}` is not installed");
            return None;
        }
        output => output.expect("it can be run"),
    };
    assert!(output.status.success(), "{program}: {output:?}");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

fn version(file: &Path) -> String {
    let output = Command::new(file).arg("--version").output().expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_gateway_with_the_list_runs_and_keeps_it_when_it_is_stripped() {
    let Some(gateway) = gateway() else { return };
    let packages: Vec<AuditedPackage> =
        serde_json::from_str(r#"[{ "name": "a", "version": "1.0.0", "source": "local", "root": true }]"#)
            .expect("a list");
    let original = std::fs::read(&gateway).expect("a file");
    let dir = tempfile::tempdir().expect("a temporary directory is writable");
    let file = dir.path().join("gateway");
    std::fs::write(&file, attach(&original, &audit_section(&packages)).expect("an ELF file"))
        .expect("writable");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("writable");
    assert_eq!(version(&file), version(&gateway));
    if let Some((sections, complaints)) = said("readelf", &["-SW"], &file) {
        assert!(sections.contains(" .dep-v0 "), "{sections}");
        assert_eq!(complaints, "");
    }
    if said("strip", &[], &file).is_some() {
        let stripped = std::fs::read(&file).expect("a file");
        assert_eq!(Image::read(&stripped).expect("a program").audit(), Some(Ok(packages)));
        assert_eq!(version(&file), version(&gateway));
    }
}
