//! How fast a file is searched: `cargo test -p driver-verify --test it -- --ignored --nocapture speed`.

use std::time::{Duration, Instant};

use driver_verify::{CrateId, Evidence, Fingerprint, Question, judge};

use crate::scene::{clean, question};

/// 60 MB that look like a program: code, and paths of crates that nobody asks about.
fn file() -> Vec<u8> {
    let mut state = 1_u64;
    let mut text = Vec::with_capacity(60_000_000);
    while text.len() < 60_000_000 {
        for _ in 0..512 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend(
                (state >> 16).to_le_bytes().map(|byte| if state & 0x100 == 0 { byte & 0x4f } else { byte }),
            );
        }
        let number = state % 997;
        text.extend(format!("/cargo/registry/src/index/crate-{number}-1.{number}.0/src/lib.rs").bytes());
    }
    clean().with(".text", text).elf()
}

/// 500 fingerprints, half of them paths.
fn large_question() -> Question {
    let mut question = question();
    for number in 0..250 {
        let name = format!("package-number-{number}");
        question.known.push(driver_verify::PackageName { name: name.clone(), version: "1.2.3".to_owned() });
        let forbidden = &mut question.forbidden[0];
        forbidden.crates.push(CrateId::new(name, Some("1.2.3")).proven());
        forbidden
            .fingerprints
            .push(Fingerprint::learned(format!("message {number} of this driver: "), "driver-sun@0.1.0"));
    }
    question
}

#[test]
#[ignore = "a measurement; needs an otherwise idle core"]
fn sixty_megabytes_and_five_hundred_fingerprints() {
    let (file, question) = (file(), large_question());
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let verdict = judge(&question, &Evidence::of_file(&file));
        best = best.min(start.elapsed());
        assert_eq!(verdict.reasons(), Vec::<String>::new());
    }
    let megabytes = file.len() as f64 / 1e6;
    println!("{megabytes:.0} MB in {best:?}: {:.0} MB/s", megabytes / best.as_secs_f64());
    assert!(best < Duration::from_millis(150), "{best:?}");
}
