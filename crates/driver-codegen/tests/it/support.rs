//! Trees on disk for the other tests: made, generated into, photographed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use driver_codegen::engine::{EngineError, Hooks, Plan, Recovery, Step, Tree, apply};
use driver_codegen::{LOCK, Lock, generate};
use driver_manifest::{Assembly, Context, read};

/// The fixture that uses the whole schema.
pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/full")
}

/// The assembly of a manifest that has no fault.
pub(crate) fn assembly(text: &str) -> Assembly {
    let outcome = read("drivers.toml", text.as_bytes(), &Context::default());
    outcome.into_result().unwrap_or_else(|report| panic!("the manifest has faults:\n{report}"))
}

/// A copy of the fixture's tree in a directory of its own.
pub(crate) fn copy_of_fixture() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    copy(&fixture().join("tree"), directory.path());
    directory
}

/// Copies a directory with everything in it; the engine's own needs are added.
pub(crate) fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let place = to.join(path);
        fs::create_dir_all(place.parent().expect("a file has a directory")).expect("a directory");
        fs::write(place, bytes).expect("a copy");
    }
    fs::write(to.join("Cargo.toml"), "[workspace]\n").expect("the root manifest");
    fs::write(to.join("Cargo.lock"), "version = 4\n").expect("the lock");
}

/// Every file by path relative to the root.
pub(crate) fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// Everything that a failed run may not change: bytes, times, and which directories there are.
pub(crate) fn photograph(root: &Path) -> BTreeMap<PathBuf, Option<(Vec<u8>, SystemTime)>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.insert(path.clone(), None);
                directories.push(path);
            } else {
                let modified = fs::metadata(&path).and_then(|metadata| metadata.modified()).expect("a time");
                found.insert(path.clone(), Some((fs::read(&path).expect("a file"), modified)));
            }
        }
    }
    found
}

/// What differs between the tree and what its manifest gives.
pub(crate) fn plan(root: &Path) -> Result<Plan, EngineError> {
    let tree = Tree::new(root);
    let text = fs::read_to_string(root.join("drivers.toml")).expect("a manifest");
    let assembly = assembly(&text);
    let lock = tree.read(LOCK)?.and_then(|bytes| Lock::parse(&String::from_utf8_lossy(&bytes)));
    let options = assembly.options.iter().map(|option| option.name.clone()).collect();
    Plan::new(&tree, &generate(&assembly, lock.as_ref()), BTreeMap::new(), options)
}

/// Generates into the tree; `before` may refuse a step.
pub(crate) fn write(
    root: &Path,
    before: &mut dyn FnMut(Step<'_>) -> std::io::Result<()>,
) -> Result<Recovery, EngineError> {
    let lock = root.join("Cargo.lock");
    // As cargo does: in place.
    let mut finish = || Ok(fs::write(&lock, "version = 4\n# refreshed\n")?);
    let plan = plan(root)?;
    assert_eq!(plan.faults, [], "the fixture has no fault");
    apply(&Tree::new(root), &plan, &mut Hooks { before, finish: &mut finish, watched: Some("Cargo.lock") })
}

/// Generates into the tree and expects that it works.
pub(crate) fn generated(root: &Path) {
    write(root, &mut |_| Ok(())).expect("generation works");
}
