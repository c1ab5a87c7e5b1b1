//! Files that cannot be judged: a clear word each, exit code 2, never a panic.

use driver_verify::{Evidence, FILE_LIMIT, Image, Unreadable, judge, sniff};

use crate::fixture::{Elf, Program};
use crate::scene::{clean, of_file, question, unstripped};

fn unreadable(file: &[u8]) -> String {
    let why = Image::read(file).map(|_| ()).expect_err("it cannot be read");
    let verdict = judge(&question(), &Evidence::of_file(file));
    assert_eq!(verdict.unreadable.as_ref(), Some(&why));
    assert_eq!(verdict.exit_code(), 2, "{why}");
    assert!(verdict.reasons()[0].contains(&why.to_string()), "{:?}", verdict.reasons());
    why.to_string()
}

#[test]
fn every_kind_has_its_words() {
    let elf = clean().elf();
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = elf.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let fat = [b"\xca\xfe\xba\xbe\0\0\0\x02".as_slice(), &[0; 64]].concat();
    let tar = [vec![b'x'; 257], b"ustar\0".to_vec()].concat();
    let packed = [&Elf::default().build(&Program::default())[..64], b"\0\0UPX!", &[7; 200]].concat();
    let sectionless = |mut file: Vec<u8>| {
        file[40..48].fill(0);
        file[60..64].fill(0);
        file
    };
    let cases: &[(&[u8], &str)] = &[
        (b"", "it is empty"),
        (&[0; 9000], "it begins with nothing but zeroes: no program"),
        (b"#!/bin/sh\nexec sunlight\n", "it is a script for `/bin/sh`"),
        (b"\x1f\x8b\x08\0\0\0", "it is a gzip file"),
        (b"PK\x03\x04\0\0\0\0", "it is a zip file"),
        (&tar, "it is a tar file"),
        (b"{\"schema\":1}", "it is JSON"),
        (&fat, "it is a universal Mach-O file: several programs in one"),
        (
            b"some text, longer than a header of any kind",
            "it is neither ELF nor PE nor Mach-O (it begins with `73 6f 6d 65 20 74 65 78`)",
        ),
        (b"\x7fELF", "it is neither ELF nor PE nor Mach-O (it begins with `7f 45 4c 46`)"),
        (&sectionless(elf.clone()), "it has no section table: packed, or stripped of it"),
        (&sectionless(packed), "it is packed with UPX"),
        (&clean().with("UPX0", b"x").pe(), "it is packed with UPX"),
        (&Elf { kind: 1, ..Elf::default() }.build(&clean()), "it is an object file, not a linked program"),
        (&Elf { kind: 4, ..Elf::default() }.build(&clean()), "it is a core dump, not a linked program"),
        (&patched(40, &[0xff; 8]), "it is damaged: Invalid ELF section header offset/size/alignment"),
    ];
    for (file, words) in cases {
        assert_eq!(unreadable(file), *words);
    }
}

#[test]
fn the_first_bytes_and_the_size_are_enough() {
    assert_eq!(sniff(&[0; 4096], 2 << 30), Err(Unreadable::Zeroes));
    assert_eq!(sniff(b"\x7fELF", FILE_LIMIT + 1), Err(Unreadable::TooLarge { size: FILE_LIMIT + 1 }));
    assert_eq!(sniff(b"\x7fELF", FILE_LIMIT), Ok(()));
    assert_eq!(sniff(b"", 0), Err(Unreadable::Empty));
}

#[test]
fn truncated_anywhere_is_never_clean() {
    let program = unstripped().with(".text", vec![0x90; 40_000]);
    for whole in [program.elf(), program.pe(), program.macho()] {
        let small = clean();
        let small = [small.elf(), small.pe(), small.macho()];
        for length in (0..whole.len()).step_by(4096) {
            assert_eq!(of_file(&whole[..length]).exit_code(), 2, "{length} of {}", whole.len());
        }
        for whole in small {
            for length in 0..whole.len() {
                assert_eq!(of_file(&whole[..length]).exit_code(), 2, "{length} of {}", whole.len());
            }
        }
    }
}

/// Where a field of the ELF header or of a section's entry lies.
fn section_field(file: &[u8], section: usize, field: usize) -> usize {
    let table = u64::from_le_bytes(file[40..48].try_into().expect("eight bytes"));
    usize::try_from(table).expect("an offset") + 64 * section + field
}

#[test]
fn hostile_section_tables() {
    let whole = unstripped().elf();
    let huge = u64::MAX.to_le_bytes();
    for section in 1..6 {
        for field in [24, 32] {
            for value in [huge, (u64::MAX / 2).to_le_bytes(), (1_u64 << 40).to_le_bytes()] {
                let mut file = whole.clone();
                let at = section_field(&file, section, field);
                file[at..at + 8].copy_from_slice(&value);
                assert_eq!(of_file(&file).exit_code(), 2, "section {section}, field {field}");
            }
        }
    }
    // The number of sections stands in the first entry when it is more than the header can say.
    let mut many = whole.clone();
    many[60..62].fill(0);
    let at = section_field(&many, 0, 32);
    many[at..at + 8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    assert!(unreadable(&many).starts_with("it is damaged: "));
}

#[test]
fn more_sections_than_a_linker_makes() {
    let mut file = clean().elf();
    let entry = file[section_field(&file, 1, 0)..][..64].to_vec();
    while !file.len().is_multiple_of(8) {
        file.push(0);
    }
    let table = file.len() as u64;
    let null = {
        let mut null = [0; 64];
        null[32..40].copy_from_slice(&70_000_u64.to_le_bytes());
        null
    };
    file.extend(null);
    for _ in 1..70_000 {
        file.extend(&entry);
    }
    file[40..48].copy_from_slice(&table.to_le_bytes());
    file[60..62].fill(0);
    assert!(unreadable(&file).starts_with("it is damaged: "));
}

/// A hundred thousand symbols that all name the same hundred thousand bytes: reading each to its end would take a day.
#[test]
fn symbols_that_name_the_same_bytes_over_and_over() {
    let mut program = clean().symbol(&"x".repeat(100_000));
    program.symbols.extend(std::iter::repeat_n(String::new(), 100_000));
    let mut file = program.elf();
    let symbols = program.sections.len() + 1;
    let at = section_field(&file, symbols, 24);
    let table = usize::try_from(u64::from_le_bytes(file[at..at + 8].try_into().unwrap())).unwrap();
    for symbol in 0..100_000 {
        file[table + 24 * symbol..][..4].copy_from_slice(&1_u32.to_le_bytes());
    }
    let verdict = of_file(&file);
    assert_eq!(verdict.exit_code(), 0, "symbols are not required: {:?}", verdict.reasons());
    let why = crate::scene::outcome(&verdict, "sun", driver_verify::Layer::Symbols);
    assert!(matches!(why, driver_verify::Outcome::Blind(why) if why.contains("over and over")), "{why:?}");
}

#[test]
fn a_list_that_unpacks_to_more_than_it_should() {
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; 64 << 20], 6);
    for section in [bomb, b"no zlib".to_vec(), Vec::new()] {
        let verdict = of_file(&clean().with(".dep-v0", section).elf());
        let why = crate::scene::outcome(&verdict, "sun", driver_verify::Layer::Audit);
        assert!(!matches!(why, driver_verify::Outcome::Clean), "{why:?}");
        assert_eq!(verdict.exit_code(), 0, "{:?}", verdict.reasons());
    }
}
