//! What comes out of archives, good and bad ones.

use super::*;
use crate::image::tests::build::{Dice, Head, Tar};

fn read(bytes: &[u8], strict: bool) -> Result<Vec<(Entry, Vec<u8>)>, Trouble> {
    let mut archive = Archive::new(bytes, strict);
    let mut entries = Vec::new();
    while let Some(entry) = archive.next()? {
        let mut data = Vec::new();
        loop {
            let piece = archive.data()?.to_vec();
            if piece.is_empty() {
                break;
            }
            archive.used(piece.len());
            data.extend(piece);
        }
        entries.push((entry, data));
    }
    Ok(entries)
}

fn problem(bytes: &[u8]) -> String {
    read(bytes, true).expect_err("a trouble").to_string()
}

fn all() -> Tar {
    Tar::default()
        .directory("etc/")
        .file("etc/passwd", b"root:x:0:0::/:/bin/sh\n")
        .link(b'2', "etc/link", "../nowhere")
        .link(b'1', "etc/hard", "etc/passwd")
        .put(&Head::new("fifo", b'6'), b"")
        .pax(&[
            ("path", b"a/long/name"),
            ("mtime", b"-3.5"),
            ("uid", b"100000"),
            ("SCHILY.xattr.user.a", b"v=\n1"),
        ])
        .file("short", vec![7; 1000])
}

#[test]
fn what_an_archive_says_of_an_entry() {
    let entries = read(&all().end(), true).expect("an archive");
    let kinds: Vec<Kind> = entries.iter().map(|(entry, _)| entry.kind).collect();
    use Kind::{Directory, Fifo, File, HardLink, Symlink};
    assert_eq!(kinds, [Directory, File, Symlink, HardLink, Fifo, File]);
    assert_eq!(entries[1].1, b"root:x:0:0::/:/bin/sh\n");
    assert_eq!(
        (entries[2].0.link.as_slice(), entries[3].0.link.as_slice()),
        (&b"../nowhere"[..], &b"etc/passwd"[..])
    );
    let (last, data) = &entries[5];
    assert_eq!(
        (last.path.as_slice(), last.mtime, last.uid, data.len()),
        (&b"a/long/name"[..], -3, 100_000, 1000)
    );
    assert_eq!(last.xattrs, [("user.a".to_owned(), b"v=\n1".to_vec())]);
}

#[test]
fn names_in_the_ways_of_other_programs() {
    let long = "d/".repeat(120) + "file";
    let gnu = Tar::default()
        .put(
            &Head { size: long.len() as u64 + 1, ..Head::new("././@LongLink", b'L') },
            format!("{long}\0").as_bytes(),
        )
        .file("d/d", b"x");
    assert_eq!(read(&gnu.end(), true).expect("an archive")[0].0.path, long.as_bytes());
    // What comes before one entry says nothing of the next.
    let pax = Tar::default().pax(&[("path", b"other")]).file("a", b"").file("b", b"");
    let paths: Vec<Vec<u8>> =
        read(&pax.end(), true).expect("an archive").into_iter().map(|(e, _)| e.path).collect();
    assert_eq!(paths, [b"other".to_vec(), b"b".to_vec()]);
    // A directory of the oldest kind.
    assert_eq!(
        read(&Tar::default().put(&Head::new("d/", 0), b"").end(), true).expect("one")[0].0.kind,
        Kind::Directory
    );
}

#[test]
fn what_is_no_archive() {
    assert_eq!(problem(b""), "it is empty");
    assert_eq!(problem(b"#!/bin/sh\n"), "it is no tar archive");
    assert_eq!(problem(&[b'x'; 4096]), "it is no tar archive");
    let mut damaged = all().end();
    damaged[512 + 148] ^= 1;
    assert!(problem(&damaged).contains("damaged"));
    assert!(problem(&all().open()).contains("truncated"));
    assert!(read(&all().open(), false).is_ok());
    let entry = |kind: u8| problem(&Tar::default().put(&Head::new("a\x1b", kind), b"").end());
    assert!(entry(b'Q').contains("its entry `a\\u{1b}` is of the kind `Q`"), "{}", entry(b'Q'));
    assert!(entry(b'S').contains("sparse"));
    assert!(
        problem(&Tar::default().pax(&[("GNU.sparse.major", b"1")]).file("a", b"").end()).contains("sparse")
    );
    assert!(problem(&Tar::default().pax(&[("path", b"a\0b")]).file("a", b"").end()).contains("NUL"));
    assert!(problem(&Tar::default().pax(&[("path", &[b'x'; 5000])]).file("a", b"").end()).contains("longer"));
    assert!(problem(&Tar::default().pax(&[("uid", b"-1")]).file("a", b"").end()).contains("makes no sense"));
}

#[test]
fn sizes_that_are_lies() {
    let huge = |size: u64| problem(&Tar::default().put(&Head { size, ..Head::new("a", b'0') }, b"").end());
    assert!(
        huge(0o77_777_777_777).contains("")
            && read(&Tar::default().put(&Head { size: 1 << 30, ..Head::new("a", b'0') }, b"").end(), true)
                .is_err()
    );
    assert!(
        problem(&Tar::default().pax(&[("size", b"18446744073709551615")]).file("a", b"").end())
            .contains("bytes")
    );
    // Memory is not what an archive has a say in.
    let names = Tar::default().put(&Head { size: 1 << 32, ..Head::new("a", b'L') }, b"").end();
    assert!(problem(&names).contains("4294967296 bytes"), "{}", problem(&names));
}

#[test]
fn cut_off_anywhere_it_is_truncated() {
    let whole = all().end();
    let end = whole.len() - 1024;
    for length in 0..=end {
        assert!(read(&whole[..length], true).is_err(), "{length} of {end}");
    }
    assert!(read(&whole[..end + 512], true).is_ok());
}

#[test]
fn whatever_the_bytes_are_it_comes_to_an_end() {
    let whole = all().end();
    let mut dice = Dice(7);
    for _ in 0..5_000 {
        let mut bytes = whole.clone();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len());
            bytes[at] = u8::try_from(dice.roll(256)).expect("a byte");
        }
        bytes.truncate(dice.roll(bytes.len() + 1));
        // Reading it is the test: no panic, no endless loop, no more data than there is.
        if let Ok(entries) = read(&bytes, false) {
            assert!(entries.iter().map(|(_, data)| data.len()).sum::<usize>() <= bytes.len());
        }
    }
}
