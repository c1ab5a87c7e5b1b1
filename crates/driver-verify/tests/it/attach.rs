//! The section `.dep-v0`, appended: read back by the judge, taken off again byte for byte, and refused where it would lie.

use driver_verify::{AuditedPackage, Image, NotAttached, attach, audit_section, detach};

use crate::fixture::Elf;
use crate::scene::{clean, of_file, unstripped};

fn packages() -> Vec<AuditedPackage> {
    let package = |name: &str, dependencies: &[usize], root| AuditedPackage {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        source: "crates.io".to_owned(),
        kind: "runtime".to_owned(),
        dependencies: dependencies.to_vec(),
        root,
    };
    vec![package("gateway", &[1], true), package("tokio", &[], false)]
}

#[test]
fn what_is_appended_is_read_and_taken_off_again() {
    let list = audit_section(&packages());
    for (wide, big) in [(true, false), (true, true), (false, false), (false, true)] {
        let elf = Elf { wide, big, ..Elf::default() };
        for program in [clean(), unstripped().with(".text", vec![0x90; 5001])] {
            let file = elf.build(&program);
            let shipped = attach(&file, &list).expect("an ELF file");
            let image = Image::read(&shipped).expect("it can be read");
            assert_eq!(image.audit(), Some(Ok(packages())), "wide {wide}, big {big}");
            assert_eq!(image.sections().len(), Image::read(&file).unwrap().sections().len() + 1);
            assert_eq!(image.markers(), Image::read(&file).unwrap().markers());
            assert_eq!(detach(&shipped, file.len()), Some(file));
        }
    }
}

#[test]
fn a_file_with_the_list_is_as_clean_as_one_without() {
    let shipped = attach(&clean().elf(), &audit_section(&packages())).expect("an ELF file");
    let verdict = of_file(&shipped);
    assert_eq!(verdict.exit_code(), 0, "{:?}", verdict.reasons());
}

#[test]
fn a_copy_that_was_changed_anywhere_is_not_the_file_any_more() {
    let file = clean().elf();
    let list = audit_section(&packages());
    let shipped = attach(&file, &list).expect("an ELF file");
    for at in 0..shipped.len() {
        let mut changed = shipped.clone();
        changed[at] ^= 1;
        if let Some(original) = detach(&changed, file.len()) {
            // What was changed is a byte of the original, whose hash then tells, or of the list.
            let image = Image::read(&changed);
            let listed = image.iter().flat_map(|image| image.sections()).any(|section| section.data == list);
            assert!(original != file || !listed, "{at}");
        }
    }
    assert_eq!(detach(&[shipped.as_slice(), b"x"].concat(), file.len()), None);
    for size in [0, 63, file.len() - 1, file.len() + 1, usize::MAX] {
        assert_eq!(detach(&shipped, size), None, "{size}");
    }
    assert_eq!(detach(&file, file.len()), None, "nothing was appended to it");
}

#[test]
fn what_cannot_have_a_section_is_told() {
    for file in [clean().pe(), clean().macho(), Vec::new(), b"\x7fELF\x02\x01\x01".to_vec()] {
        assert_eq!(attach(&file, b"x"), Err(NotAttached::NotElf));
    }
    let once = attach(&clean().elf(), b"x").expect("an ELF file");
    assert_eq!(attach(&once, b"x"), Err(NotAttached::AlreadyThere));
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = clean().elf();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        attach(&file, b"x").expect_err("it has no sound table")
    };
    assert_eq!(patched(40, &[0; 8]), NotAttached::Table("is not there"));
    assert_eq!(patched(40, &[0xff; 8]), NotAttached::Table("names bytes that are not in it"));
    assert_eq!(patched(62, &[0xff; 2]), NotAttached::Table("is of a form that is not known here"));
}
