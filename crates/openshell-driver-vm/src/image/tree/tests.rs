//! What archives do to a tree, and what none of them can do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::*;
use crate::config::Config;
use crate::image::disk::Maker;
use crate::image::tests::bench::{ask, is_whole};
use crate::image::tests::build::{Dice, Head, Tar};

/// A tree in a directory that has something beside it.
struct Bench {
    root: tempfile::TempDir,
    tree: Tree,
}

impl Bench {
    fn new(size: u64) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("tree")).expect("a directory");
        fs::write(root.path().join("outside"), b"mine").expect("a file");
        let tree = Tree::new(&root.path().join("tree"), size).expect("a tree");
        Self { root, tree }
    }

    fn apply(&mut self, bytes: &[u8], whole: bool) -> Result<(), Trouble> {
        self.tree.apply(&mut Archive::new(bytes, true), whole)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("tree").join(name)
    }

    /// Every name below the tree.
    fn names(&self) -> Vec<String> {
        fn walk(directory: &Path, above: &str, names: &mut Vec<String>) {
            for entry in fs::read_dir(directory).expect("a directory") {
                let entry = entry.expect("an entry");
                let name = format!("{above}{}", entry.file_name().to_string_lossy());
                if entry.file_type().expect("a type").is_dir() {
                    walk(&entry.path(), &format!("{name}/"), names);
                }
                names.push(name);
            }
        }
        let mut names = Vec::new();
        walk(&self.path(""), "", &mut names);
        names.sort();
        names
    }

    /// Beside the tree is what was there before.
    fn is_contained(&self) -> bool {
        let mut beside: Vec<String> = fs::read_dir(self.root.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        beside.sort();
        beside == ["outside", "tree"]
            && fs::read(self.root.path().join("outside")).expect("a file") == b"mine"
    }
}

const SIZE: u64 = 1 << 26;

#[test]
fn a_file_system_is_kept_as_it_was() {
    let mut bench = Bench::new(SIZE);
    let archive = Tar::default()
        .directory("./")
        .put(&Head { mode: 0o1777, ..Head::new("./tmp/", b'5') }, b"")
        .put(&Head { mode: 0o4755, uid: 1234, size: 3, ..Head::new("./bin/su", b'0') }, b"su!")
        .link(b'1', "./bin/sudo", "./bin/su")
        .link(b'2', "./etc", "/nowhere")
        .put(&Head { mode: 0o600, uid: 7, ..Head::new("./fifo", b'6') }, b"")
        .pax(&[("SCHILY.xattr.security.selinux", b"x")])
        .file("zeros", vec![0; 1 << 20])
        .end();
    bench.apply(&archive, true).expect("good");
    bench.tree.finish().expect("finished");
    assert_eq!(bench.names(), ["bin", "bin/su", "bin/sudo", "etc", "fifo", "tmp", "zeros"]);
    let su = fs::metadata(bench.path("bin/su")).expect("a file");
    assert_eq!((su.nlink(), su.mtime(), su.size()), (2, 0o12_345_670_123, 3));
    assert_eq!(fs::read_link(bench.path("etc")).expect("a link"), Path::new("/nowhere"));
    let zeros = fs::metadata(bench.path("zeros")).expect("a file");
    assert!(zeros.len() == 1 << 20 && zeros.blocks() * 512 < 1 << 20, "a hole");
    assert_eq!(fs::metadata(bench.path("tmp")).expect("a directory").mtime(), 0o12_345_670_123);
    assert_eq!(fs::metadata(bench.path("")).expect("the root").permissions().mode() & 0o7777, 0o755);
    if bench.tree.is_root {
        assert_eq!((su.uid(), su.mode() & 0o7777), (1234, 0o4755));
        assert_eq!(fs::metadata(bench.path("tmp")).expect("a directory").mode() & 0o7777, 0o1777);
        assert_eq!(bench.tree.script(bench.root.path()).expect("none"), None);
    }
}

#[test]
fn what_leads_out_is_refused_by_name() {
    let cases: [(Vec<u8>, &str); 16] = [
        (Tar::default().file("../outside", b"x").end(), "`../outside` has `..` in its name"),
        (Tar::default().file("a/../../outside", b"x").end(), "has `..` in its name"),
        (Tar::default().file("/etc/passwd", b"x").end(), "`/etc/passwd` has an absolute name"),
        (Tar::default().link(b'2', "a", "..").file("a/outside", b"x").end(), "`a/outside` lies behind `a`"),
        (Tar::default().link(b'2', "a", "/").directory("a/b").end(), "lies behind `a`"),
        (Tar::default().file("a", b"").file("a/b", b"x").end(), "lies behind `a`"),
        (
            Tar::default().link(b'1', "a", "../outside").end(),
            "is a hard link to `../outside`, which is not inside",
        ),
        (Tar::default().link(b'1', "a", "/etc/passwd").end(), "which is not inside"),
        (
            Tar::default().link(b'2', "a", "..").link(b'1', "b", "a/outside").end(),
            "which did not come before it",
        ),
        (Tar::default().link(b'1', "a", "missing").end(), "which did not come before it"),
        (Tar::default().directory("a").link(b'1', "b", "a").end(), "which is a directory"),
        (Tar::default().file("a", b"").link(b'1', "a", "./a").end(), "which cannot be linked to"),
        (Tar::default().put(&Head::new("dev/sda", b'4'), b"").end(), "`dev/sda` is a device node"),
        (Tar::default().put(&Head::new("dev/null", b'3'), b"").end(), "`dev/null` is a device node"),
        (Tar::default().file(".", b"x").end(), "is the root and no directory"),
        (
            Tar::default().pax(&[("path", "d/".repeat(300).as_bytes())]).directory("a").end(),
            "deeper than 200",
        ),
    ];
    for (archive, problem) in cases {
        let mut bench = Bench::new(SIZE);
        let trouble = bench.apply(&archive, true).expect_err(problem).to_string();
        assert!(trouble.contains(problem), "{trouble}");
        assert!(bench.is_contained(), "{problem}");
    }
}

#[test]
fn later_entries_replace_earlier_ones_and_links_are_not_written_through() {
    let mut bench = Bench::new(SIZE);
    let outside = bench.root.path().join("outside");
    let archive = Tar::default()
        .link(b'2', "a", outside.to_str().expect("a text"))
        .file("a", b"new")
        .directory("d")
        .file("d/x", b"x")
        .file("d", b"a file now")
        .link(b'2', "e", "d")
        .directory("e")
        .file("e/in", b"")
        .file("f", b"1")
        .file("g", b"2")
        .link(b'1', "f", "g")
        .end();
    bench.apply(&archive, true).expect("good");
    assert!(bench.is_contained());
    assert_eq!(bench.names(), ["a", "d", "e", "e/in", "f", "g"]);
    assert_eq!(fs::read(bench.path("f")).expect("a file"), b"2");
    assert!(fs::symlink_metadata(bench.path("a")).expect("a file").is_file());
}

#[test]
fn layers_take_away_what_is_below_them() {
    let mut bench = Bench::new(SIZE);
    let lower = Tar::default()
        .file("keep", b"")
        .file("gone", b"")
        .directory("tree")
        .file("tree/deep/a", b"")
        .directory("opaque")
        .file("opaque/old", b"")
        .file("opaque/both/old", b"")
        .file(".wh.nothing", b"")
        .end();
    // Whatever the order is, what a layer brings itself stays.
    let upper = Tar::default()
        .file(".wh.gone", b"")
        .file(".wh.tree", b"")
        .file(".wh.absent", b"")
        .file("none/.wh.such", b"")
        .file("opaque/new", b"")
        .file("opaque/both/new", b"")
        .file("opaque/.wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"")
        .file(".wh.keep", b"")
        .file("keep", b"again")
        .end();
    bench.apply(&lower, false).expect("good");
    bench.apply(&upper, false).expect("good");
    assert_eq!(bench.names(), ["keep", "opaque", "opaque/both", "opaque/both/new", "opaque/new"]);
    for bad in [".wh.", "a/.wh..", ".wh..."] {
        assert!(bench.apply(&Tar::default().file(bad, b"").end(), false).is_err(), "{bad}");
    }
    // In the archive of a whole file system it is a name like any other.
    let mut bench = Bench::new(SIZE);
    bench.apply(&Tar::default().file(".wh.a", b"").end(), true).expect("good");
    assert_eq!(bench.names(), [".wh.a"]);
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_written() {
    let size = 1 << 24;
    let giant =
        |name: &str| Tar::default().put(&Head { size: size + 1, ..Head::new(name, b'0') }, b"").open();
    let mut bench = Bench::new(size);
    let trouble = bench.apply(&giant("big"), true).expect_err("too large").to_string();
    assert!(trouble.contains("its entry `big` does not fit"), "{trouble}");

    // What is replaced makes room; what is not replaced adds up.
    let half = vec![1; 9 << 20];
    let mut bench = Bench::new(size);
    let again = Tar::default().file("a", &half).file("a", &half).file("a", &half).end();
    bench.apply(&again, true).expect("one of them is there");
    let other = Tar::default().file("b", &half).end();
    assert!(matches!(bench.apply(&other, true), Err(Trouble::TooLarge { .. })));

    let mut many = Tar::default();
    for index in 0..=size / INODE_RATIO {
        many = many.file(format!("{index}"), b"");
    }
    let trouble = Bench::new(size).apply(&many.end(), true).expect_err("too many").to_string();
    assert!(trouble.contains("more than the 1024 files"), "{trouble}");
}

/// Whatever an archive of a few names does with them, in whatever order, nothing happens beside the tree.
#[test]
fn no_archive_gets_out() {
    let names = [
        "a",
        "a/b",
        "a/b/c",
        "b",
        "../outside",
        "a/../../outside",
        "b/outside",
        "c/tree",
        "/outside",
        ".wh.a",
        "a/.wh..wh..opq",
    ];
    let targets = ["a", "..", "../outside", "../../outside", "/", "b", "a/b", "."];
    let mut dice = Dice(42);
    for round in 0..2_000 {
        let mut bench = Bench::new(SIZE);
        for _ in 0..3 {
            let mut tar = Tar::default();
            for _ in 0..=dice.roll(6) {
                let name = names[dice.roll(names.len())];
                let target = targets[dice.roll(targets.len())];
                tar = match dice.roll(5) {
                    0 => tar.directory(name),
                    1 => tar.link(b'2', name, target),
                    2 => tar.link(b'1', name, target),
                    _ => tar.file(name, b"evil"),
                };
            }
            let _ = bench.apply(&tar.end(), dice.roll(2) == 0);
        }
        let _ = bench.tree.finish();
        assert!(bench.is_contained(), "round {round}");
    }
}

#[tokio::test]
async fn a_disk_is_told_the_owners_that_the_tree_could_not_have() {
    let mut bench = Bench::new(SIZE);
    bench.tree.is_root = false;
    let archive = Tar::default()
        .directory("d")
        .put(&Head { mode: 0o4755, uid: 1000, ..Head::new("d/a \"b\"", b'0') }, b"")
        .link(b'2', "d/l", "x")
        .pax(&[("SCHILY.xattr.security.capability", b"\x01")])
        .file("ping", b"")
        .end();
    bench.apply(&archive, true).expect("good");
    bench.tree.finish().expect("finished");
    let script = bench.tree.script(bench.root.path()).expect("a script").expect("not root");
    let script = String::from_utf8(script).expect("a text");
    for line in [
        "sif \"/d\" mode 040755",
        "sif \"/d/a \"\"b\"\"\" mode 0104755",
        "sif \"/d/a \"\"b\"\"\" uid 1000",
        "sif \"/d/l\" mode 0120777",
    ] {
        assert!(script.lines().any(|found| found == line), "{line} in {script}");
    }
    assert!(script.contains(" \"/ping\" security.capability\n"), "{script}");

    let disk = bench.root.path().join("disk");
    let maker = Maker::new(&Config::default());
    maker.make(&bench.path(""), &disk, SIZE, Some(script.as_bytes())).await.expect("a disk");
    let program = ask(&disk, "stat \"/d/a \"\"b\"\"\"");
    assert!(program.contains("Mode:  04755") && program.contains("User:  1000"), "{program}");
    assert!(ask(&disk, "ea_list /ping").contains("security.capability"), "{}", ask(&disk, "ea_list /ping"));
    assert!(is_whole(&disk));
    let unknown =
        maker.make(&bench.path(""), &bench.root.path().join("other"), SIZE, Some(b"sif /none uid 1\n")).await;
    assert!(unknown.is_err(), "debugfs says so in its words alone");

    bench.apply(&Tar::default().file("a\nb", b"").end(), true).expect("good");
    assert!(bench.tree.script(bench.root.path()).is_err());
}
