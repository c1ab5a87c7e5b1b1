//! Hostile files through the command line: exit code 2 or 3 and a sentence, within a gigabyte of memory, never a panic.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::root;
use super::verify::gateway;

/// Address space of the verification, in KiB: half of the largest file below.
const MEMORY: u32 = 1 << 20;

/// Judges a file by the command line; gives the exit code and what it said.
fn judged(file: &Path) -> (Option<i32>, String) {
    let line = format!("ulimit -v {MEMORY} && exec \"$0\" verify-compiled-out --all --binary \"$1\"");
    let output = Command::new("sh")
        .args(["-c", &line, env!("CARGO_BIN_EXE_xtask")])
        .arg(file)
        .current_dir(root())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &said)
}

fn expect(file: &Path, code: i32, words: &str) {
    let (found, said) = judged(file);
    assert_eq!(found, Some(code), "{}: {said}", file.display());
    assert!(said.contains(words) && !said.contains("panicked"), "{}: {said}", file.display());
}

#[test]
fn files_that_are_larger_than_memory_are_not_read() {
    let dir = tempfile::tempdir().expect("a temporary directory is writable");
    for (name, head, words) in [
        ("zeroes", &b""[..], "begins with nothing but zeroes"),
        ("program", b"\x7fELF\x02\x01\x01", "more than the 536870912 that are looked at"),
        ("text", b"any text", "more than the 536870912 that are looked at"),
    ] {
        let path = dir.path().join(name);
        let mut file = File::create(&path).expect("writable");
        file.write_all(head).expect("writable");
        // Sparse: it takes no place on the disk.
        file.set_len(2 << 30).expect("a sparse file");
        expect(&path, 2, words);
    }
}

#[test]
fn what_is_no_file_or_may_not_be_read_is_told() {
    expect(Path::new("/dev/zero"), 2, "is not a file");
    expect(root(), 2, "is not a file");
    let dir = tempfile::tempdir().expect("a temporary directory is writable");
    let path = dir.path().join("secret");
    std::fs::write(&path, b"\x7fELF").expect("writable");
    std::fs::set_permissions(&path, Permissions::from_mode(0o0)).expect("writable");
    match File::open(&path) {
        Ok(_) => println!("skipped: this user may read a file that nobody may read"),
        Err(_) => expect(&path, 3, "cannot read"),
    }
}

#[test]
fn a_gateway_that_was_damaged_is_not_certified() {
    let Some(gateway) = gateway() else { return };
    let whole = std::fs::read(gateway).expect("a file");
    let dir = tempfile::tempdir().expect("a temporary directory is writable");
    let path = dir.path().join("gateway");
    let write = |bytes: &[u8]| std::fs::write(&path, bytes).expect("writable");
    // Every cut is refused by the tables that it cuts off; the command line answers to a few of them.
    for length in (0..whole.len()).step_by(4096) {
        assert!(driver_verify::Image::read(&whole[..length]).is_err(), "{length} of {}", whole.len());
    }
    for length in [1, 64, 4096, whole.len() / 8 * 4, whole.len() - 1] {
        write(&whole[..length]);
        let (code, said) = judged(&path);
        // Damaged programs are searched all the same, but not certified.
        assert_eq!(code, Some(2), "{length}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        write(&file);
    };
    if whole.starts_with(b"\x7fELF\x02\x01") {
        patched(40, &[0xff; 8]);
        expect(&path, 2, "it is damaged: ");
        patched(60, &[0; 2]);
        let (code, said) = judged(&path);
        assert_eq!(code, Some(2), "no section is named: {said}");
        // A machine that nobody builds for here: named, because without a target any may be meant.
        patched(18, &[0xf7, 0]);
        let output = super::xtask(
            root(),
            &[
                "verify-compiled-out",
                "--all",
                "--target",
                "x86_64-unknown-linux-gnu",
                "--binary",
                &path.to_string_lossy(),
            ],
        );
        let said = super::stdout(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("this is ELF unknown"), "{said}");
    }
}

#[test]
fn a_report_without_end_is_no_report() {
    let dir = tempfile::tempdir().expect("a temporary directory is writable");
    let path = dir.path().join("verify.json");
    File::create(&path).and_then(|file| file.set_len(2 << 30)).expect("a sparse file");
    let line = format!("ulimit -v {MEMORY} && exec \"$0\" verify-compiled-out --report \"$1\" \"$1\"");
    let output = Command::new("sh")
        .args(["-c", &line, env!("CARGO_BIN_EXE_xtask")])
        .arg(&path)
        .current_dir(root())
        .output()
        .expect("a shell");
    let said = super::stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("it is no statement"), "{said}");
}
