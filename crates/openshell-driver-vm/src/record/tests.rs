//! Directories on a real disk.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn id(text: &str) -> SandboxId {
    SandboxId::new(text).expect("an id")
}

fn record(id: &str) -> Record {
    Record {
        version: Record::VERSION,
        id: id.into(),
        name: "n".into(),
        workspace: "w".into(),
        labels: [("a".into(), "b".into())].into(),
        created_ms: 7,
        image: "a:1".into(),
        digest: "sha256:0".into(),
        disk_size: 1 << 33,
        cpus: 2,
        memory: 1 << 30,
        network: true,
        supervised: false,
        run: Run { argv: vec!["sh".into()], environment: vec![("A".into(), "1".into())], ..Run::default() },
        ended: Some(Ended { how: How::OutOfMemory, message: "m".into(), at_ms: 3 }),
    }
}

struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a directory") }
    }

    fn open(&self) -> Records {
        Records::open(&self.root.path().join("gw")).expect("a disk").expect("nobody has it")
    }

    fn names(&self) -> Vec<String> {
        let listed = fs::read_dir(self.root.path().join("gw/sandboxes")).expect("a directory");
        listed.map(|entry| entry.expect("an entry").file_name().into_string().expect("a text")).collect()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn a_record_reads_back_and_its_token_is_in_no_other_file() {
    let bench = Bench::new();
    let records = bench.open();
    let key = id("../é");
    let staged = records.stage(&key, &record("../é"), &Secret::new("s3cret")).expect("staged");
    assert!(bench.names()[0].starts_with(".new-"), "not there before it is whole");
    let kept = staged.keep().expect("kept");
    assert_eq!(kept, records.directory(&key));
    assert_eq!(records.load().expect("loaded").records, [record("../é")]);
    assert_eq!(records.token(&key).expect("a token").expose(), "s3cret");
    assert_eq!(records.token(&id("other")).expect("none").expose(), "");
    let text = fs::read_to_string(kept.join(RECORD)).expect("a record");
    assert!(!text.contains("s3cret"), "{text}");
    assert_eq!((mode(&kept), mode(&kept.join(RECORD)), mode(&kept.join(TOKEN))), (0o700, 0o600, 0o600));

    let changed = Record { ended: None, ..record("../é") };
    records.save(&key, &changed).expect("saved");
    assert_eq!(records.load().expect("loaded").records, [changed]);
    assert_eq!(mode(&kept.join(RECORD)), 0o600);

    assert!(records.remove(&key).expect("removed"));
    assert!(!records.remove(&key).expect("nothing there"));
    assert_eq!(bench.names(), Vec::<String>::new());
}

#[test]
fn what_is_not_kept_is_gone() {
    let bench = Bench::new();
    let records = bench.open();
    drop(records.stage(&id("a"), &record("a"), &Secret::default()).expect("staged"));
    assert_eq!(bench.names(), Vec::<String>::new());
}

#[test]
fn what_a_crash_left_is_cleared_and_what_cannot_be_read_is_left_alone() {
    let bench = Bench::new();
    let records = bench.open();
    for name in [".new-a", ".gone-b/deep", "junk", "old", "c"] {
        fs::create_dir_all(bench.root.path().join("gw/sandboxes").join(name)).expect("a directory");
    }
    let place = |name: &str| bench.root.path().join("gw/sandboxes").join(name);
    fs::write(
        place("old").join(RECORD),
        serde_json::to_vec(&Record { version: 9, ..record("old") }).expect("JSON"),
    )
    .expect("a file");
    fs::write(place("c").join(RECORD), serde_json::to_vec(&record("other")).expect("JSON")).expect("a file");
    records.stage(&id("good"), &record("good"), &Secret::default()).expect("staged").keep().expect("kept");
    let loaded = records.load().expect("loaded");
    assert_eq!(loaded.records, [record("good")]);
    let mut said: Vec<String> = loaded.broken.into_iter().map(|(_, problem)| problem).collect();
    said.sort();
    assert_eq!(said.len(), 3);
    assert!(said[0].contains("version 9, and this driver reads 1"), "{said:?}");
    assert!(said[1].contains("No such file"), "{said:?}");
    assert!(said[2].contains("it is of the sandbox `other`"), "{said:?}");
    let mut names = bench.names();
    names.sort();
    assert_eq!(names, ["c", "good", "junk", "old"]);
}

#[test]
fn one_driver_has_a_gateway_s_directory() {
    let bench = Bench::new();
    let first = bench.open();
    assert!(Records::open(&bench.root.path().join("gw")).expect("a disk").is_none());
    assert!(Records::open(&bench.root.path().join("other")).expect("a disk").is_some());
    drop(first);
    bench.open();
}
