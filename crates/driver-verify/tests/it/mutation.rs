//! Files with random damage: no panic, no time without bound, and what is in a file is never called clean.
//!
//! `OPENSHELL_TEST_MUTATIONS=1000000` makes a longer run of it.

use std::time::{Duration, Instant};

use driver_verify::{Answer, Evidence, Question, judge};

use crate::fixture::Elf;
use crate::mutator::{Random, mutate};
use crate::scene::{clean, question, unstripped};

fn any_machine() -> Question {
    Question { triple: None, ..question() }
}

/// Damaged files of each format.
fn rounds() -> usize {
    std::env::var("OPENSHELL_TEST_MUTATIONS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1000)
}

#[test]
fn damaged_files_are_answered() {
    const PLANT: &[u8] = b"/x/sunlight-2.1.0/src/lib.rs";
    let rounds = rounds();
    let leaky = |program: crate::fixture::Program| program.text("  /x/sunlight-2.1.0/src/lib.rs  ");
    let big = Elf { wide: false, big: true, machine: 20, ..Elf::default() };
    let files = [
        leaky(unstripped()).audit(&[("tokio", "1.54.1")]).elf(),
        big.build(&leaky(unstripped())),
        leaky(clean()).pe(),
        leaky(clean()).macho(),
    ];
    let question = any_machine();
    let (mut leaks, mut slowest) = (0, Duration::ZERO);
    for (index, original) in files.iter().enumerate() {
        for round in 0..rounds {
            let seed = (index * rounds + round) as u64 + 1;
            let mut file = original.clone();
            mutate(&mut file, &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let start = Instant::now();
            let verdict = judge(&question, &Evidence::of_file(&file));
            slowest = slowest.max(start.elapsed());
            let planted = file.windows(PLANT.len()).any(|window| window == PLANT);
            assert!(
                !planted || verdict.answer() != Answer::Clean,
                "file {index}, seed {seed}: {:?}",
                verdict.rows[0].layers
            );
            // What appends to a file and takes off again does not trust it either.
            if let Ok(more) = driver_verify::attach(&file, b"list") {
                assert_eq!(driver_verify::detach(&more, file.len()), Some(file.clone()), "seed {seed}");
            }
            let _none_or_another = driver_verify::detach(&file, original.len());
            leaks += usize::from(verdict.answer() == Answer::Leak);
            // Whatever was found, it can be told.
            let told =
                verdict.table(true).len() + verdict.markdown().len() + verdict.json().to_string().len();
            assert!(told < 1 << 20, "file {index}, seed {seed}: {told} bytes of report");
        }
    }
    assert!(leaks > rounds, "most damage leaves the leak to be seen: {leaks}");
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
}

#[test]
fn noise_is_answered() {
    let question = any_machine();
    let mut random = Random(42);
    for magic in [b"\x7fELF\x02\x01\x01".as_slice(), b"\x7fELF\x01\x02\x01", b"MZ", b"\xcf\xfa\xed\xfe", b""]
    {
        for _ in 0..500 {
            let mut file = magic.to_vec();
            let length = random.below(3000);
            file.extend((0..length).map(|_| u8::try_from(random.below(256)).unwrap_or(0)));
            let verdict = judge(&question, &Evidence::of_file(&file));
            assert_eq!(verdict.answer(), Answer::CannotCertify);
        }
    }
}
