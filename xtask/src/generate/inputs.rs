//! The fast path: whether the committed lock proves that `gen` would change nothing. Reads and hashes, no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use driver_codegen::engine::Tree;
use driver_codegen::{GENERATOR, LOCK, Lock, digest, metadata_projection};

/// The protos.
pub(crate) const PROTOS: &str = "proto";

/// The sources of what makes the bindings.
pub(crate) const PROTO_GENERATOR: &str = "crates/openshell-proto-gen/src";

/// Whether the lock holds: same generator, same inputs, same outputs, no orphan.
pub(crate) fn is_fresh(tree: &Tree) -> bool {
    let Some(lock) = committed(tree) else { return false };
    lock.generator == GENERATOR
        && bindings_hold(&lock, &binding_inputs(tree))
        && lock.inputs.iter().all(|(path, digest)| {
            fs::read(tree.root().join(path)).is_ok_and(|bytes| input_digest(path, &bytes) == *digest)
        })
        && lock.outputs_hold(|path| tree.read(path).ok().flatten())
        && no_orphan(tree, &lock)
}

/// The digest of an input. Of a driver's `Cargo.toml` only the part counts that the generator reads.
pub(crate) fn input_digest(path: &str, bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if path.ends_with("Cargo.toml") => digest(metadata_projection(text).as_bytes()),
        _ => digest(bytes),
    }
}

/// The digests of everything that the bindings are made of.
pub(crate) fn binding_inputs(tree: &Tree) -> BTreeMap<String, String> {
    let mut inputs = BTreeMap::new();
    for (directory, extension) in [(PROTOS, ".proto"), (PROTO_GENERATOR, ".rs")] {
        for path in files(tree, directory).into_iter().filter(|path| path.ends_with(extension)) {
            if let Ok(bytes) = fs::read(tree.root().join(&path)) {
                inputs.insert(path, digest(&bytes));
            }
        }
    }
    inputs
}

/// Whether the lock's bindings were made of these inputs, no more and no less.
pub(crate) fn bindings_hold(lock: &Lock, inputs: &BTreeMap<String, String>) -> bool {
    let is_binding = |path: &str| {
        [PROTOS, PROTO_GENERATOR]
            .iter()
            .any(|directory| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')))
    };
    lock.inputs.iter().filter(|(path, _)| is_binding(path)).eq(inputs.iter())
}

/// Every file below a directory, in order.
pub(crate) fn files(tree: &Tree, directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, is_directory) in tree.names(directory).unwrap_or_default() {
        let path = format!("{directory}/{name}");
        if is_directory {
            found.extend(files(tree, &path));
        } else {
            found.push(path);
        }
    }
    found
}

fn committed(tree: &Tree) -> Option<Lock> {
    let bytes = tree.read(LOCK).ok()??;
    let text = str::from_utf8(&bytes).ok()?;
    Lock::parse(text).filter(|lock| lock.render() == text)
}

fn no_orphan(tree: &Tree, lock: &Lock) -> bool {
    let held: BTreeSet<&str> = lock.output_files().chain([LOCK]).collect();
    tree.generated().is_ok_and(|files| files.iter().all(|path| held.contains(path.as_str())))
}
