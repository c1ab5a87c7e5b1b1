//! The protos say what the contract's tables say, field for field, both ways.

use std::path::{Path, PathBuf};

use prost_types::{FileDescriptorProto, FileDescriptorSet};

use crate::root;
use crate::table::Table;

/// Policies: messages that this project has no text for, and hands on as bytes.
const OPAQUE: &str = "openshell.sandbox.v1.";

fn tables() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/contract")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn descriptors() -> FileDescriptorSet {
    openshell_proto_gen::compile(&root().join("proto")).expect("the protos compile")
}

/// Compares one table with the files of `packages`.
fn assert_matches(table: &str, packages: &[&str]) {
    let (package, expected) = Table::parse(&read(&tables().join(table)));
    assert_eq!(package, packages[0], "the package of {table}");
    let expected = expected.with_opaque(OPAQUE);
    let set = descriptors();
    let files = set.file.iter().filter(|file: &&FileDescriptorProto| packages.contains(&file.package()));
    let differences = expected.differences(&Table::render(&package, files));
    assert!(
        differences.is_empty(),
        "{table} (-) and proto/ (+) differ in {} lines:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn the_driver_contract_is_its_table() {
    assert_matches("compute_driver.v1.txt", &["openshell.compute.v1"]);
}

#[test]
fn the_client_contract_is_its_table() {
    assert_matches("openshell.v1.txt", &["openshell.v1", "openshell.datamodel.v1"]);
}

#[test]
fn no_other_package_claims_a_contract_of_others() {
    let set = descriptors();
    let mut packages: Vec<&str> = set
        .file
        .iter()
        .map(FileDescriptorProto::package)
        .filter(|name| !name.starts_with("google."))
        .collect();
    packages.dedup();
    // What is ours alone may be here too, under names of our own.
    packages
        .retain(|name| !["openshell.gateway.", "openshell.relay."].iter().any(|own| name.starts_with(own)));
    assert_eq!(packages, ["openshell.compute.v1", "openshell.datamodel.v1", "openshell.v1"]);
}

#[test]
fn the_comparison_sees_every_kind_of_difference() {
    let (_, table) = Table::parse(&read(&tables().join("compute_driver.v1.txt")));
    let text = read(&tables().join("compute_driver.v1.txt"));
    for (from, to) in [
        ("1 string driver_name", "2 string driver_name"),
        ("1 string driver_name", "1 bytes driver_name"),
        ("1 string driver_name", "1 string driver"),
        ("1 optional uint32 count", "1 uint32 count"),
        ("12 repeated string command", "12 string command"),
        ("map<string,string> metadata", "map<string,bytes> metadata"),
        ("  (oneof selector)", "  (oneof choice)"),
        ("reserved 4..4", "reserved 4..5"),
        ("supports_gpu, ", ""),
        ("-> stream WatchSandboxesEvent", "-> WatchSandboxesEvent"),
        ("message EnsureWorkspaceRequest\n", "message EnsureWorkspace\n"),
    ] {
        assert!(text.contains(from), "the table has `{from}`");
        let (_, changed) = Table::parse(&text.replacen(from, to, 1));
        assert_eq!(table.differences(&changed).len(), 2, "`{from}` → `{to}`");
    }
}

/// The copies here are facts; where the originals lie beside the checkout, they are the same.
#[test]
fn the_tables_have_not_drifted_from_the_originals() {
    let originals = root().join("../shared/contract");
    if !originals.is_dir() {
        println!("skipped: no tables at {}", originals.display());
        return;
    }
    let names = |dir: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(dir)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "txt"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&tables()), names(&originals));
    for name in names(&tables()) {
        assert!(
            read(&tables().join(&name)) == read(&originals.join(&name)),
            "{} differs from its original",
            name.display()
        );
    }
}
