//! Files with random damage: no panic, no time without bound, and what is in a file is never called clean.
//!
//! `OPENSHELL_TEST_MUTATIONS=1000000` makes a longer run of it.

use std::time::{Duration, Instant};

use driver_verify::{Answer, Evidence, Question, judge};

use crate::fixture::Elf;
use crate::scene::{clean, question, unstripped};

/// xorshift64*: the same numbers everywhere, for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }
}

fn mutate(file: &mut Vec<u8>, random: &mut Random) {
    const EDGES: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
    for _ in 0..=random.below(8) {
        let at = random.below(file.len());
        // Tables lie at the beginning and at the end: half of the damage is done there.
        let at = match random.below(4) {
            0 => at % 512,
            1 => file.len() - 1 - at % 1024.min(file.len()),
            _ => at,
        };
        let at = at.min(file.len().saturating_sub(1));
        match random.below(6) {
            0 | 1 => file[at] ^= 1 << random.below(8),
            2 => file[at] = u8::try_from(random.below(256)).unwrap_or(0),
            3 => {
                let width = [1, 2, 4, 8][random.below(4)];
                let value = EDGES[random.below(EDGES.len())].to_le_bytes();
                let end = (at + width).min(file.len());
                file[at..end].copy_from_slice(&value[..end - at]);
            }
            4 => {
                let (from, length) = (random.below(file.len()), random.below(64));
                let chunk = file[from..(from + length).min(file.len())].to_vec();
                let end = (at + chunk.len()).min(file.len());
                file[at..end].copy_from_slice(&chunk[..end - at]);
            }
            _ if random.below(16) == 0 => file.truncate(at.max(1)),
            _ => {}
        }
    }
}

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
            leaks += usize::from(verdict.answer() == Answer::Leak);
            // Whatever was found, it can be told.
            let told =
                verdict.table(true).len() + verdict.markdown().len() + verdict.json().to_string().len();
            assert!(told < 1 << 20, "file {index}, seed {seed}: {told} bytes of report");
        }
    }
    assert!(leaks > rounds, "most damage leaves the leak to be seen: {leaks}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
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
