//! The invariants of ARCHITECTURE.md hold, so that `cargo test` says when one does not; and in a workspace that breaks
//! each of them, each is found.

use std::path::Path;
use std::process::Command;

use super::{root, stderr, stdout, xtask};

#[test]
fn every_invariant_holds() {
    let output = xtask(root(), &["tidy"]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(stdout(&output), "", "tidy is silent when all is well");
}

fn write(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("it can be made");
    std::fs::write(path, text).expect("it can be written");
}

/// A member with the workspace's lints.
fn member(dir: &Path, name: &str, rest: &str, code: &str) {
    let head = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lints]\nworkspace = true\n"
    );
    write(dir, &format!("crates/{name}/Cargo.toml"), &(head + rest));
    write(dir, &format!("crates/{name}/src/lib.rs"), code);
}

const MANIFEST: &str = r#"
[[driver]]
name = "apple"
summary = "x"
kind = "in-tree"
package = "openshell-driver-apple"
owns = ["sdk", "no-such-crate"]

[[driver]]
name = "external"
summary = "x"
kind = "socket"
"#;

#[test]
fn each_breach_is_found_in_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n[workspace.lints]\n");
    write(dir, "drivers.toml", MANIFEST);
    write(dir, "README.md", &"line\n".repeat(121));
    write(dir, "ARCHITECTURE.md", "# x\n\n## Invariants\n\n1. a\n2. b\n3. c\n4. d\n5. e\n");
    let server = "[features]\ndriver-apple = [\"dep:openshell-driver-apple\"]\ndriver-external = []\n[dependencies]\n\
                  openshell-driver-apple = { path = \"../openshell-driver-apple\", optional = true }\n\
                  openshell-core = { path = \"../openshell-core\" }\n";
    member(dir, "openshell-server", server, "//! x\n#[cfg(feature = \"driver-apple\")]\nfn f() {}\n");
    write(dir, "crates/openshell-server/src/main.rs", "//! x\nfn main() {}\n");
    let core = "[dependencies]\nsdk = { path = \"../sdk\" }\n";
    member(dir, "openshell-core", core, "//! x\nconst A: &str = \"apple\";\n");
    let driver = "[dependencies]\nsdk = { path = \"../sdk\" }\nopenshell-runtime = { path = \"../openshell-runtime\" }\n";
    member(dir, "openshell-driver-apple", driver, "//! x\nconst A: &str = \"apple\";\n");
    member(dir, "openshell-runtime", "", "fn no_first_line() {}\n");
    member(dir, "sdk", "", "//! x\n");
    write(dir, "crates/sdk/src/generated/x.rs", "//! Nobody says who wrote it.\n");
    write(
        dir,
        "crates/sdk/Cargo.toml",
        "[package]\nname = \"sdk\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    write(dir, "ci/run", "#!/bin/sh\n# apple\nup apple\n");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let locked =
        Command::new(cargo).args(["generate-lockfile", "--offline"]).current_dir(dir).status().unwrap();
    assert!(locked.success());

    let output = xtask(dir, &["tidy"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stdout(&output);
    for breach in [
        "drivers.toml:7: `sdk` is owned by driver `apple`, yet comes by another way: ",
        "drivers.toml:7: `no-such-crate` is owned, but in no dependency graph",
        "crates/openshell-core/src/lib.rs:2: hand-written text names the driver `apple`",
        "ci/run:3: hand-written text names the driver `apple`",
        "`openshell-driver-apple` sees `openshell-runtime`",
        "crates/sdk/src/generated/x.rs:1: a file in `generated/` whose first lines do not say",
        "crates/openshell-server/src/lib.rs:2: a `cfg` on `driver-apple` outside of `generated/`",
        "crates/sdk/Cargo.toml:1: `sdk` does not take the workspace's lints",
        "crates/openshell-runtime/src/lib.rs:1: does not open with `//!`",
        "README.md:120: 121 lines; 120 are the most",
        "ARCHITECTURE.md:1: invariant 6 is not printed",
    ] {
        assert!(said.contains(breach), "`{breach}` is not in:\n{said}");
    }
    assert!(!said.contains("crates/openshell-driver-apple/src"), "a driver's own crate may name it:\n{said}");
}
