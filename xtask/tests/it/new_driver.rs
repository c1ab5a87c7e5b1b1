//! `new-driver` through the binary. A driver out of the tree is made, built and held to the contract by the commands of
//! docs/write-a-driver.md, so that neither the page nor the templates rot; one in the tree is made in a copy of this workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{root, stderr, stdout, xtask};

/// The page whose commands are run.
const PAGE: &str = "docs/write-a-driver.md";
/// Where the page puts its driver, seen from this workspace.
const PAGE_DIRECTORY: &str = "../openshell-driver-kyma";
/// Where the tests find a gateway and its client.
const BIN_DIR: &str = "OPENSHELL_TEST_BIN_DIR";

/// The blocks of commands of a page: what follows `console` in the fence, and a line a command.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("```console") else { continue };
        let commands: Vec<&str> = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .filter_map(|line| line.strip_prefix("$ "))
            .collect();
        blocks.push((rest.trim().to_owned(), commands.join("\n")));
    }
    blocks
}

/// The commands of the page's blocks of one kind.
fn commands(kind: &str) -> String {
    let page = fs::read_to_string(root().join(PAGE)).expect("the page");
    let of_kind = blocks(&page).into_iter().filter(|(of, _)| of == kind);
    of_kind.map(|(_, commands)| commands).collect::<Vec<_>>().join("\n")
}

/// A shell that runs commands of the page as they are: `cargo xtask` is the menu under test, and what cargo builds goes where
/// this test's own program was built. It ends with everything that it has started.
fn shell(script: &str, directory: &Path, home: &Path) -> Output {
    use std::os::unix::process::CommandExt as _;
    let menu = PathBuf::from(env!("CARGO_BIN_EXE_xtask"));
    let above = menu.ancestors().nth(2).expect("the menu lies in a profile's directory");
    let triple = above.file_name().and_then(|name| name.to_str()).filter(|name| name.contains('-'));
    let target = if triple.is_some() { above.parent().expect("a target directory") } else { above };
    let prelude = "set -eu\n\
                   cargo() { if [ \"$1\" = xtask ]; then shift; \"$MENU\" \"$@\"; else command cargo \"$@\"; fi; }\n\
                   trap 'trap \"\" TERM; kill -TERM 0; wait' EXIT\n";
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{prelude}{script}")]).current_dir(directory).process_group(0);
    command.env("MENU", &menu).env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
    if let Some(triple) = triple {
        command.env("CARGO_BUILD_TARGET", triple);
    }
    for (name, directory) in [("STATE", "state"), ("CONFIG", "config"), ("RUNTIME", "run")] {
        let variable =
            if name == "RUNTIME" { "XDG_RUNTIME_DIR".to_owned() } else { format!("XDG_{name}_HOME") };
        let directory = home.join(directory);
        fs::create_dir_all(&directory).expect("a directory");
        command.env(variable, directory);
    }
    if let Some(programs) = std::env::var_os(BIN_DIR) {
        let mut path = root().join(programs).into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path).env("OPENSHELL_SERVER_PORT", free_port().to_string());
        // Not where a gateway of this user may already be.
        let socket = home.join("gateway.sock");
        command.env("OPENSHELL_LISTEN_SOCKET", &socket).env("OPENSHELL_GATEWAY_SOCKET", &socket);
    }
    command.output().expect("a shell")
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn the_page_leads_to_a_driver_that_keeps_the_contract() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("openshell-driver-kyma");
    let page = fs::read_to_string(root().join(PAGE)).expect("the page");
    let with_gateway = std::env::var_os(BIN_DIR).is_some();
    let mut script = String::new();
    for (kind, commands) in blocks(&page) {
        match kind.as_str() {
            "" => {}
            "gateway" if with_gateway => {}
            "gateway" => {
                println!(
                    "skipped: {BIN_DIR} does not say where a gateway is: the page's part with it is not run"
                );
                continue;
            }
            // Another test's, in a copy of this workspace.
            "in-tree" | "with" | "compiled-in" => continue,
            other => panic!("{PAGE} has commands of an unknown kind: `{other}`"),
        }
        script.push_str(&commands.replace(PAGE_DIRECTORY, &directory.display().to_string()));
        script.push('\n');
    }
    assert!(script.contains("cargo xtask new-driver kyma --out-of-tree"), "{script}");
    let output = shell(&script, root(), home.path());
    let said = format!("{}\n{}", stdout(&output), stderr(&output));
    assert!(output.status.success(), "{script}\n{said}");
    assert!(said.contains("test the_driver_keeps_the_contract ... ok"), "{said}");
    if with_gateway {
        assert!(said.contains("first"), "the sandbox is listed: {said}");
    }

    // What is written is in the form that its own CI asks for, and no member of this workspace.
    let form = shell("cargo fmt --all --check", &directory, home.path());
    assert!(form.status.success(), "{}", stdout(&form));
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).expect("a manifest");
    assert!(
        manifest.contains("\n[workspace]\n") && manifest.contains("crates/openshell-driver-api\""),
        "{manifest}"
    );
}

#[test]
fn what_cannot_be_had_is_said_and_nothing_is_written() {
    let home = tempfile::tempdir().expect("a directory");
    let full = home.path().join("full");
    fs::create_dir(&full).expect("made");
    fs::write(full.join("file"), "").expect("written");
    let (full, file) = (full.display().to_string(), full.join("file").display().to_string());
    let free = home.path().join("free").display().to_string();
    for (args, message, hint) in [
        (&["My_Driver"][..], "`My_Driver` is not a name that a driver can have", "did you mean `my-driver`?"),
        (&["remote"], "the name `remote` is reserved: ", "give the driver another name"),
        (&["external"], "the name `external` is reserved: ", "give the driver another name"),
        (&["docker"], "a driver named `docker` is there already", "choose another name"),
        (
            &["common", "--out-of-tree", &free],
            "`crates/openshell-driver-common` is there already",
            "another name",
        ),
        (&["kyma", "--summary", "a \"b\""], "the summary has a '\"' in it", "choose other words"),
        (&["kyma", "--out-of-tree", &full], "is not empty", "that is not there yet"),
        (&["kyma", "--out-of-tree", &file], "is not a directory", "that is not there yet"),
        (&["kyma", "--out-of-tree", "crates/kyma"], "is inside of this workspace", "beside it"),
    ] {
        let output = xtask(root(), &[&["new-driver"], args].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(message) && said.contains(hint), "{args:?}: {said}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
    assert!(!root().join("crates/kyma").exists() && !root().join("crates/openshell-driver-kyma").exists());
    assert_eq!(fs::read_dir(home.path()).expect("listed").count(), 1, "nothing is left behind");
}

/// Copies every file but what is built and what git keeps.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (name, path) = (entry.file_name(), entry.path());
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() && name != "target" && name != ".git" {
            copy(&path, &to.join(name));
        } else if kind.is_file() {
            fs::copy(&path, to.join(name)).expect("a copy");
        }
    }
}

#[test]
fn a_driver_of_the_tree_is_listed_generated_and_goes_again() {
    let home = tempfile::tempdir().expect("a directory");
    let copied = home.path().join("workspace");
    copy(root(), &copied);
    let read = |path: &str| fs::read_to_string(copied.join(path)).expect(path);
    let (manifest, lock) = (read("drivers.toml"), read("Cargo.lock"));
    assert_eq!(commands("in-tree"), "cargo xtask new-driver kyma", "{PAGE} says how");
    let output = xtask(&copied, &["new-driver", "kyma"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for part in ["wrote crates/openshell-driver-kyma\n", "wrote drivers.toml\n", "arms.rs\n"] {
        assert!(stdout(&output).contains(part), "{part}: {}", stdout(&output));
    }
    let entry = "[[driver]]\nname = \"kyma\"\nsummary = \"sandboxes in memory\"\nkind = \"in-tree\"\n\
                 package = \"openshell-driver-kyma\"\ndefault = false\n\n[[driver]]\nname = \"external\"\n";
    assert!(read("drivers.toml").contains(entry), "{}", read("drivers.toml"));
    let check = xtask(&copied, &["gen", "--check", "--full"]);
    assert!(check.status.success(), "{}{}", stdout(&check), stderr(&check));

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version=1", "--offline", "--locked", "--no-deps"];
    let metadata = Command::new(cargo).args(arguments).current_dir(&copied).output().expect("cargo");
    assert!(metadata.status.success(), "{}", stderr(&metadata));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
    let mut packages = metadata["packages"].as_array().expect("packages").iter();
    let package = packages.find(|package| package["name"] == "openshell-driver-kyma").expect("the driver");
    assert_eq!(package["metadata"]["openshell-driver"]["api"], "1");

    let tidy = xtask(&copied, &["tidy"]);
    assert!(tidy.status.success(), "{}{}", stdout(&tidy), stderr(&tidy));

    let again = xtask(&copied, &["new-driver", "kyma"]);
    assert!(stderr(&again).contains("a driver named `kyma` is there already"), "{}", stderr(&again));

    // And back: its entry, what follows from it, its directory.
    let removed = xtask(&copied, &["edit", "remove", "kyma"]);
    assert!(removed.status.success(), "{}", stderr(&removed));
    assert_eq!(read("drivers.toml"), manifest);
    assert!(xtask(&copied, &["gen"]).status.success());
    fs::remove_dir_all(copied.join("crates/openshell-driver-kyma")).expect("removed");
    assert!(xtask(&copied, &["gen", "--check"]).status.success());
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let update = ["update", "--workspace", "--offline", "--quiet"];
    let updated = Command::new(cargo).args(update).current_dir(&copied).status().expect("cargo");
    assert!(updated.success() && read("Cargo.lock") == lock, "nothing of it is left in the lock");

    // The same driver of a repository of its own, compiled in.
    let own = home.path().join("openshell-driver-kyma");
    let made = xtask(&copied, &["new-driver", "kyma", "--out-of-tree", &own.display().to_string()]);
    assert!(made.status.success(), "{}", stderr(&made));
    let script = commands("with") + " --dry-run";
    assert!(script.starts_with("cargo xtask build --with kyma="), "{script}");
    let output = shell(&script, &copied, home.path());
    assert!(stdout(&output).contains("--features driver-kyma,"), "{}{}", stdout(&output), stderr(&output));
    let script = commands("compiled-in");
    assert!(script.contains("cargo xtask edit add kyma --kind crate"), "{script}");
    let output = shell(&script, &copied, home.path());
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let list = stdout(&xtask(&copied, &["list", "--json"]));
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let mut drivers = list["drivers"].as_array().expect("a list").iter();
    assert!(drivers.any(|driver| driver["name"] == "kyma" && driver["kind"] == "crate"), "{list}");
    assert!(xtask(&copied, &["gen", "--check"]).status.success());
}
