//! `edit` through the binary: what it changes, what it says, and that a wrong change leaves the file as it was.

use std::fs;

use super::{stderr, stdout, xtask};

const MANIFEST: &str = "\
# The list.

# Runs containers.
[[driver]]
name = \"apple\"
summary = \"containers\"
kind = \"socket\"
socket = \"/run/apple.sock\" # its own

[[driver]]
name = \"external\"
summary = \"behind a socket\"
kind = \"socket\"
default = true

[preset.lean]
drivers = [\"external\", \"apple\"]

[preset.apple-only]
drivers = [\"apple\"]
";

fn workspace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").expect("written");
    fs::write(dir.path().join("drivers.toml"), MANIFEST).expect("written");
    dir
}

#[test]
fn entries_come_go_and_move_and_comments_stay() {
    let dir = workspace();
    let edit = |args: &[&str]| {
        let output = xtask(dir.path(), &[&["edit"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        (stdout(&output), fs::read_to_string(dir.path().join("drivers.toml")).expect("a file"))
    };
    let add = [
        "add",
        "pear",
        "--kind",
        "socket",
        "--socket",
        "/run/pear.sock",
        "--summary",
        "more",
        "--before",
        "apple",
    ];
    let (said, text) = edit(&add);
    assert_eq!(said, "wrote drivers.toml\nnext: cargo xtask gen\n");
    let entry =
        "[[driver]]\nname = \"pear\"\nsummary = \"more\"\nkind = \"socket\"\nsocket = \"/run/pear.sock\"\n\n";
    assert_eq!(text, MANIFEST.replace("# Runs", &format!("{entry}# Runs")));

    let (_, text) = edit(&["move", "pear", "--after", "apple"]);
    assert_eq!(text, MANIFEST.replace("# its own\n\n", &format!("# its own\n\n{entry}")));
    let (said, _) = edit(&["move", "pear", "--before", "external"]);
    assert_eq!(said, "`drivers.toml` is so already\n");
    assert_eq!(edit(&["remove", "pear"]).1, MANIFEST);

    let (said, text) = edit(&["remove", "apple"]);
    let notes = "note: the preset `lean` does not name it any more\n\
                 note: the preset `apple-only` named nothing else and is gone\n";
    assert_eq!(said, format!("wrote drivers.toml\n{notes}next: cargo xtask gen\n"));
    assert!(text.starts_with("# The list.\n\n[[driver]]\nname = \"external\"\n"), "{text}");
    assert!(text.ends_with("\n[preset.lean]\ndrivers = [\"external\"]\n"), "{text}");
}

#[test]
fn a_change_that_would_be_wrong_is_not_made() {
    let dir = workspace();
    for (args, said) in [
        (&["remove", "aple"][..], "no driver named `aple` is in the manifest\nhint: did you mean `apple`?"),
        (
            &["remove", "external"],
            "error: the change was not made: `drivers.toml` would have the faults above",
        ),
        (&["move", "apple"], "it is not said where to\nhint: say --before NAME or --after NAME"),
        (&["move", "apple", "--after", "apple"], "`apple` cannot be put before or after itself"),
        (
            &["move", "apple", "--after", "pear"],
            "no driver named `pear` is in the manifest\nhint: there are `apple`",
        ),
        (
            &["add", "apple", "--kind", "socket", "--summary", "x"],
            "a driver named `apple` is in the manifest already",
        ),
        // The reader's own diagnostics, with the line of the text that would be.
        (&["add", "Pear_1", "--kind", "socket", "--summary", "x"], "did you mean `pear-1`?"),
        (&["add", "pear", "--kind", "sokcet", "--summary", "x"], "did you mean `socket`?"),
        (&["add", "pear", "--kind", "in-tree", "--summary", "x", "--package", "nobody"], "drivers.toml:"),
    ] {
        let output = xtask(dir.path(), &[&["edit"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
        assert_eq!(
            fs::read_to_string(dir.path().join("drivers.toml")).expect("a file"),
            MANIFEST,
            "{args:?}"
        );
    }
    for broken in ["driver = [", ""] {
        fs::write(dir.path().join("drivers.toml"), broken).expect("written");
        let output = xtask(dir.path(), &["edit", "remove", "apple"]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
    }
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 2, "nothing is left behind");
}
