//! Damages program files for as long as it is told to, and judges them: no panic, no time without bound, and what holds a
//! planted leak is never called clean. A damaged file that gets a kind of answer which was not seen before is damaged further.
//!
//! ```text
//! cargo run -p driver-verify --example fuzz -- [--seconds 60] [--seed 1] [FILE …]
//! ```
//!
//! Files are real programs to begin with, beside those of the tests. A file that breaks something is written to the directory
//! for temporary files, its path is printed, and the exit code is 1. The tests do the same for some thousand files, always
//! the same ones.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use driver_verify::{Answer, Evidence, Question, Verdict, judge};

use fixture::Elf;
use mutator::{Random, mutate};

#[path = "../tests/it/fixture/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod fixture;
#[path = "../tests/it/mutator.rs"]
mod mutator;
#[path = "../tests/it/scene.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod scene;

/// Found in every file that the tests make, and in no file that is clean.
const PLANT: &[u8] = b"/x/sunlight-2.1.0/src/lib.rs";
/// The longest that a small file may take.
const SLOWEST: Duration = Duration::from_secs(5);
/// So many files that got a new kind of answer are kept.
const CORPUS: usize = 4096;

struct Args {
    seconds: u64,
    seed: u64,
    files: Vec<String>,
}

fn args() -> Result<Args, String> {
    let mut args = Args { seconds: 60, seed: 1, files: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().unwrap_or_default();
            value.parse().map_err(|_| format!("`{word}` takes a number, not `{value}`"))
        };
        match word.as_str() {
            "--seconds" => args.seconds = number()?,
            "--seed" => args.seed = number()?.max(1),
            _ => args.files.push(word),
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    match args().and_then(|args| fuzz(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn fuzz(args: &Args) -> Result<(), String> {
    let question = Question { triple: None, ..scene::question() };
    let mut corpus = corpus(&args.files)?;
    let given = corpus.len();
    let mut random = Random(args.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (mut kinds, mut rounds) = (BTreeSet::new(), 0_u64);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(args.seconds) {
        let mut file = corpus[random.below(corpus.len())].clone();
        mutate(&mut file, &mut random);
        rounds += 1;
        let started = Instant::now();
        let judged = catch_unwind(AssertUnwindSafe(|| check(&question, &file)));
        let wrong = match judged {
            Ok(Ok(kind)) => {
                if kinds.insert(kind) && corpus.len() < CORPUS {
                    corpus.push(file.clone());
                }
                (started.elapsed() > SLOWEST).then(|| format!("it took {:?}", started.elapsed()))
            }
            Ok(Err(why)) => Some(why),
            Err(_) => Some("it panicked".to_owned()),
        };
        if let Some(why) = wrong {
            let path = std::env::temp_dir().join(format!("driver-verify-{}-{rounds}.bin", args.seed));
            std::fs::write(&path, &file)
                .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
            return Err(format!("round {rounds} of seed {}: {why}: `{}`", args.seed, path.display()));
        }
    }
    println!("{rounds} files in {:?} out of {given}, {} kinds of answers", began.elapsed(), kinds.len(),);
    Ok(())
}

/// Files of every format with a leak in them, and those that were named.
fn corpus(files: &[String]) -> Result<Vec<Vec<u8>>, String> {
    let leaky = |program: fixture::Program| program.text("  /x/sunlight-2.1.0/src/lib.rs  ");
    let rich = || leaky(scene::unstripped()).audit(&[("tokio", "1.54.1")]);
    let mut corpus = vec![rich().pe(), rich().macho()];
    for (wide, big) in [(true, false), (true, true), (false, false), (false, true)] {
        let elf = Elf { wide, big, ..Elf::default() };
        corpus.push(elf.build(&rich()));
        let bare = elf.build(&leaky(scene::unstripped()));
        corpus.push(driver_verify::attach(&bare, b"list").map_err(|why| why.to_string())?);
    }
    for path in files {
        corpus.push(std::fs::read(path).map_err(|error| format!("cannot read `{path}`: {error}"))?);
    }
    corpus.retain(|file| !file.is_empty());
    Ok(corpus)
}

/// Judges a file; gives what kind of answer it was, or what is wrong with it.
fn check(question: &Question, file: &[u8]) -> Result<String, String> {
    let verdict = judge(question, &Evidence::of_file(file));
    let planted = file.windows(PLANT.len()).any(|window| window == PLANT);
    if planted && verdict.answer() == Answer::Clean {
        return Err("it holds the leak and is called clean".to_owned());
    }
    let told = verdict.table(true).len() + verdict.markdown().len() + verdict.json().to_string().len();
    if told > 1 << 20 {
        return Err(format!("the report has {told} bytes"));
    }
    if let Ok(more) = driver_verify::attach(file, b"list")
        && driver_verify::detach(&more, file.len()).as_deref() != Some(file)
    {
        return Err("the list cannot be taken off again".to_owned());
    }
    Ok(kind(&verdict))
}

/// The answer without what is particular to one file.
fn kind(verdict: &Verdict) -> String {
    let mut kind = format!("{:?}", verdict.answer());
    let why = verdict.unreadable.iter().map(ToString::to_string);
    kind.extend(why.flat_map(|why| why.split([':', '(', '`']).next().map(ToOwned::to_owned)));
    for row in &verdict.rows {
        kind.extend(row.layers.values().map(|outcome| format!(" {}", outcome.word())));
    }
    for control in &verdict.controls {
        kind.push_str(match control.state {
            driver_verify::ControlState::Held => " +",
            driver_verify::ControlState::Failed(_) => " -",
            driver_verify::ControlState::NotApplicable(_) => " .",
        });
    }
    kind
}
