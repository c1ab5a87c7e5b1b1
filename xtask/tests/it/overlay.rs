//! Drivers from elsewhere, as far as nothing is compiled: what cannot be built in is said before anything is written, and what
//! can is shown as the lines of cargo. That it is built, and to the same bytes anywhere, is a job of `cargo xtask ci --full`.

use std::fs;
use std::path::Path;

use super::{root, stderr, stdout, xtask};

/// What a driver's crate says of itself.
const API: &str = "\n[package.metadata.openshell-driver]\napi = \"1\"\n";
/// What exports a driver.
const REGISTERS: &str = "openshell_driver_api::register!(Factory);\n";

/// A crate in a directory of its own; its package is `<directory>-driver` unless `package` names it.
fn a_crate(home: &Path, directory: &str, package: &str, metadata: &str, library: &str) {
    let at = home.join(directory);
    fs::create_dir_all(at.join("src")).expect("a directory");
    let manifest =
        format!("[package]\nname = \"{package}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n{metadata}");
    fs::write(at.join("Cargo.toml"), manifest).expect("written");
    fs::write(at.join("src/lib.rs"), library).expect("written");
}

/// A build that is only shown.
fn shown(args: &[&str]) -> std::process::Output {
    xtask(root(), &[&["build", "--dry-run"], args].concat())
}

#[test]
fn what_cannot_be_compiled_in_is_said_in_a_line_and_a_hint() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    a_crate(home, "good", "good-driver", API, REGISTERS);
    a_crate(home, "silent", "silent-driver", "", REGISTERS);
    a_crate(home, "next", "next-driver", &API.replace('1', "2"), REGISTERS);
    a_crate(home, "nothing", "nothing-driver", API, "//! No driver.\n");
    a_crate(home, "ours", "openshell-core", API, REGISTERS);
    a_crate(home, "orphan", "orphan-driver", &format!("license.workspace = true\n{API}"), REGISTERS);
    a_crate(home, "renamed", "renamed-driver", &format!("{API}[lib]\nname = \"other\"\n"), REGISTERS);
    a_crate(home, "program", "program-driver", API, "");
    fs::remove_file(home.join("program/src/lib.rs")).expect("removed");
    fs::create_dir(home.join("empty")).expect("made");
    for (with, message) in [
        ("docker=good", "the main manifest has a driver `docker` already"),
        ("telemetry=good", "the main manifest has an option `telemetry`"),
        ("docker-only=good", "the main manifest has a preset `docker-only`"),
        ("external=good", "`external`"),
        ("Acme=good", "`Acme` is not a name that a driver can have"),
        ("acme=silent", "does not say which driver API it speaks"),
        ("acme=next", "the driver API `2` of the crate `next-driver` does not fit"),
        ("acme=nothing", "the crate `nothing-driver` exports no `REGISTRATION`"),
        ("acme=ours", "has the name of one of this workspace"),
        ("acme=orphan", "has `license` from a workspace that does not say it"),
        ("acme=renamed", "the library of the package `renamed-driver` is called `other`"),
        ("acme=program", "has no library"),
        ("acme=empty", "there is no Cargo.toml in"),
        ("acme=absent", "is not there"),
        ("acme=good/Cargo.toml", "is not a directory"),
    ] {
        let (name, directory) = with.split_once('=').expect("a name and a directory");
        let with = format!("{name}={}", home.join(directory).display());
        let output = shown(&["--with", &with]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{with}: {said}");
        assert!(
            said.contains(message) && said.contains("\nhint: ") && said.lines().count() <= 4,
            "{with}: {said}"
        );
        assert_eq!(stdout(&output), "", "{with}");
    }
    let good = home.join("good").display().to_string();
    let (one, other) = (format!("acme={good}"), format!("other={good}"));
    for (args, message) in [
        (&["--with", &one, "--with", &one][..], "two `--with` name the driver `acme`"),
        (
            &["--with", &one, "--with", &other],
            "the package `good-driver` is the crate of the driver `acme` already",
        ),
        (&["--with", "acme"], "does not say which driver comes from where"),
        (&["--manifest", "absent.toml"], "`absent.toml` is not there"),
        (&["--from", "absent.json"], "is no build.json that this version reads"),
    ] {
        let output = shown(args);
        assert!(
            output.status.code() == Some(2) && stderr(&output).contains(message),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

const GATEWAY: &str =
    "cargo build -p openshell-server --bin openshell-gateway --no-default-features --features ";

#[test]
fn a_driver_of_the_command_line_comes_into_what_is_named_or_is_all_there_is() {
    let home = tempfile::tempdir().expect("a directory");
    a_crate(home.path(), "acme", "acme-driver", API, REGISTERS);
    let with = format!("acme={}", home.path().join("acme").display());
    for (args, features) in [
        (&[][..], "driver-acme,telemetry"),
        (&["--drivers", "external"], "driver-external,driver-acme,telemetry"),
        (&["--preset", "external-only", "--without-option", "telemetry"], "driver-external,driver-acme"),
    ] {
        let output = shown(&[&["--with", &with], args].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stdout(&output), format!("{GATEWAY}{features} --release --locked\n"));
    }
    let program = shown(&["--with", &with, "--programs", "acme", "--profile", "dev"]);
    assert!(
        stdout(&program).contains("-p openshell-drivers --bin openshell-driver-acme"),
        "{}",
        stdout(&program)
    );
}

#[test]
fn a_manifest_joins_the_main_one_and_its_faults_are_shown_in_it() {
    let home = tempfile::tempdir().expect("a directory");
    a_crate(home.path(), "acme", "acme-driver", API, REGISTERS);
    let path = home.path().join("my-drivers.toml");
    let entry = "[[driver]]\nname = \"acme\"\nsummary = \"x\"\nkind = \"crate\"\npackage = \"acme-driver\"\npath = \"acme\"\n";
    let lines = |rest: &str, args: &[&str]| {
        fs::write(&path, format!("{entry}{rest}")).expect("written");
        let manifest = path.display().to_string();
        shown(&[&["--manifest", &manifest], args].concat())
    };
    let main: toml::Table =
        fs::read_to_string(root().join("drivers.toml")).expect("it").parse().expect("TOML");
    let names =
        main["driver"].as_array().expect("a list").iter().filter_map(|driver| driver["name"].as_str());
    let off: String =
        names.filter(|name| *name != "external").map(|name| format!("{name} = false\n")).collect();
    let rest = format!("before = \"external\"\ndefault = true\n\n[defaults]\ntelemetry = false\n{off}");
    let output = lines(&rest, &[]);
    let expected = format!("{GATEWAY}driver-acme,driver-external --release --locked\n");
    assert_eq!(stdout(&output), expected, "its defaults, in its order: {}", stderr(&output));

    for (rest, message) in [
        ("before = \"externl\"\n", "did you mean `external`?"),
        ("before = \"podman\"\nafter = \"docker\"\n", "no order puts"),
        ("\n[defaults]\ndokcer = true\n", "did you mean `docker`?"),
        (
            "\n[preset.docker-only]\ndrivers = [\"acme\"]\n",
            "the main manifest has a preset `docker-only` already",
        ),
    ] {
        let output = lines(rest, &["--drivers", "acme"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(message) && said.contains("my-drivers.toml:"), "{said}");
    }
    fs::write(&path, entry.replace("acme-driver", "other-driver")).expect("written");
    let output = shown(&["--manifest", &path.display().to_string(), "--drivers", "acme"]);
    assert!(
        stderr(&output).contains("is the package `acme-driver`, not `other-driver`"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn names_are_completed_from_the_manifest() {
    let offered = |words: &[&str]| {
        let index = (words.len() - 1).to_string();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .env("OPENSHELL_XTASK_COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", index);
        stdout(&command.arg("--").args(words).current_dir(root()).output().expect("the menu runs"))
    };
    assert_eq!(offered(&["xtask", "build", "--drivers", "do"]), "docker");
    assert_eq!(offered(&["xtask", "build", "--drivers", "docker,ext"]), "docker,external");
    assert_eq!(offered(&["xtask", "build", "--preset", "external"]), "external-only");
    assert_eq!(offered(&["xtask", "edit", "move", "docker", "--before", "pod"]), "podman");
    for shell in ["bash", "fish", "zsh"] {
        let script = stdout(&xtask(root(), &["completions", shell]));
        assert!(
            script.contains("OPENSHELL_XTASK_COMPLETE=") && script.contains("cargo xtask --"),
            "{script}"
        );
    }
}
