//! What the verification costs: the search of a large file beside the search that people write by hand, and what it adds to
//! a build.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use driver_verify::{
    Answer, CrateId, Evidence, Fingerprint, PackageName, Question, Target, TargetKind, judge,
};

use super::toolchain::timed;
use super::{Args, Figure};
use crate::error::{Error, Result};
use crate::verify::GRAPHS;
use crate::workspace::{self, Workspace, spawn};

/// The size of the file that is searched, in bytes.
pub(super) const SIZE: usize = 60_000_000;
/// Half of the fingerprints are paths of crates, half are texts.
const HALF: usize = 250;
/// The search, in milliseconds.
const SEARCH_MS: f64 = 150.0;
/// How many times faster than `strings | grep` it has to be.
const FASTER: f64 = 3.0;
/// What a verification may add to a build, in milliseconds.
const ADDS_MS: f64 = 1000.0;
/// The search by hand.
const BY_HAND: &str = "strings -a \"$0\" | grep -F -f \"$1\" | wc -l";

/// The search of a file of `size` bytes and the same by hand, one after the other; and what cannot be measured, and why.
pub(super) fn search(runs: usize, size: usize) -> Result<(Vec<Figure>, Option<String>)> {
    let (file, question) = (file(size), question());
    let (mut ours, mut by_hand, mut faster) = (Vec::new(), Vec::new(), Vec::new());
    let dir = tempfile::tempdir().map_err(Error::file("create a directory in", &std::env::temp_dir()))?;
    let path = |name: &str| dir.path().join(name);
    let write = |name: &str, bytes: &[u8]| {
        let path = path(name);
        std::fs::write(&path, bytes).map_err(Error::file("write", &path))
    };
    write("file", &file)?;
    let texts = (0..HALF).flat_map(|number| [path_of(number), text_of(number)]);
    write("patterns", texts.map(|text| text + "\n").collect::<String>().as_bytes())?;
    let absent = ["strings", "grep"].into_iter().find(|program| !is_there(program));
    for _ in 0..runs.clamp(3, 9) {
        let started = Instant::now();
        let verdict = judge(&question, &Evidence::of_file(&file));
        let search = started.elapsed();
        if verdict.answer() != Answer::Leak {
            return Err(Error::output("the judge", "what was planted is not found"));
        }
        ours.push(search);
        if absent.is_none() {
            let hand = hand(&path("file"), &path("patterns"))?;
            faster.push(hand.as_secs_f64() / search.as_secs_f64());
            by_hand.push(hand);
        }
    }
    let mut figures = vec![Figure::new("search, 60 MB, 500 fingerprints", ours, Some(SEARCH_MS))];
    if let Some(absent) = absent {
        return Ok((figures, Some(format!("skipped: {BY_HAND}: `{absent}` is not installed"))));
    }
    figures.push(Figure::new("the same by strings | grep -F", by_hand, None));
    figures.push(Figure::at_least("strings | grep over the search", "×", faster, FASTER));
    Ok((figures, None))
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The search by hand, which has to find something, too.
fn hand(file: &Path, patterns: &Path) -> Result<Duration> {
    let started = Instant::now();
    let output = Command::new("sh")
        .args(["-c", BY_HAND])
        .args([file, patterns])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(spawn("sh"))?;
    let elapsed = started.elapsed();
    match String::from_utf8_lossy(&output.stdout).trim().parse::<u64>() {
        Ok(1..) => Ok(elapsed),
        _ => Err(Error::output(BY_HAND, "what was planted is not found")),
    }
}

fn path_of(number: usize) -> String {
    format!("package-number-{number}-1.2.3/")
}

fn text_of(number: usize) -> String {
    format!("message {number} of this driver: ")
}

/// What looks like a program: an ELF header, code, paths of crates that nobody asks about, and one of each that is asked for.
fn file(size: usize) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64, 0);
    // A program for x86-64, version 1, whose headers have the sizes that they have.
    for (at, byte) in [(16, 3), (18, 62), (20, 1), (52, 64), (54, 56), (58, 64)] {
        file[at] = byte;
    }
    let mut state = 1_u64;
    while file.len() < size {
        for _ in 0..512 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bytes = (state >> 16).to_le_bytes();
            // Every other word looks like text.
            let mask = if state & 0x100 == 0 { 0x4f } else { 0xff };
            file.extend(bytes.map(|byte| byte & mask));
        }
        let number = state % 997;
        // A vector of bytes takes whatever is written to it.
        let _written = write!(file, "/cargo/registry/src/index/crate-{number}-1.{number}.0/src/lib.rs\0");
    }
    let _written = write!(file, "/cargo/registry/src/index/{}src/lib.rs\0{}\0", path_of(7), text_of(7));
    file
}

fn question() -> Question {
    let mut driver = Target::new("driver", TargetKind::Driver);
    let mut known = Vec::new();
    for number in 0..HALF {
        let name = format!("package-number-{number}");
        driver.crates.push(CrateId::new(&name, Some("1.2.3")).proven());
        driver.fingerprints.push(Fingerprint::learned(text_of(number), "driver@0.1.0"));
        known.push(PackageName { name, version: "1.2.3".to_owned() });
    }
    Question {
        subject: "bench".to_owned(),
        triple: None,
        is_guest: false,
        core: Target::new("core", TargetKind::Core),
        expected: Vec::new(),
        forbidden: vec![driver],
        known,
    }
}

/// A build with nothing to compile, without a verification and with one: of a file that was judged before, of one that was
/// not, and where cargo has to be asked for the graphs as well.
pub(super) fn adds(workspace: &Workspace, args: &Args) -> Result<Vec<Figure>> {
    let line = ["xtask", "build", "--all", "--profile", &args.profile];
    let without = [&line[..], &["--no-verify"]].concat();
    // Whatever there is to do is done before anything is timed.
    let folder = workspace.cargo_output(&line)?;
    let statement = workspace.path(folder.trim()).join("verify.json");
    let graphs = workspace.target_dir().join(GRAPHS);
    let forget = |path: &Path| match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    };
    let (mut anew, mut cold, mut reused) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.runs.clamp(3, 9) {
        let run = |line: &[&str]| timed(&mut workspace.cargo(line), &workspace::line(line));
        // Also brings the statement back that a build without a verification does not leave.
        run(&line)?;
        let judged_before = run(&line)?;
        forget(&statement)?;
        let judged_anew = run(&line)?;
        forget(&statement)?;
        forget(&graphs)?;
        let all_anew = run(&line)?;
        let bare = run(&without)?;
        for (samples, time) in [(&mut reused, judged_before), (&mut anew, judged_anew), (&mut cold, all_anew)]
        {
            samples.push(time.saturating_sub(bare));
        }
    }
    Ok(vec![
        Figure::new("verification over a build, file judged before", reused, None),
        Figure::new("verification over a build, file not judged before", anew, Some(ADDS_MS)),
        Figure::new("verification over a build, no graph at hand", cold, Some(ADDS_MS)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both have to find what was planted, or a figure says nothing: an error would say so.
    #[test]
    fn the_search_and_the_one_by_hand_find_what_is_there() {
        let (figures, skipped) = search(3, 1 << 20).unwrap();
        assert_eq!(figures.len(), if skipped.is_some() { 1 } else { 3 });
    }

    #[test]
    fn the_file_is_as_large_as_it_is_said_to_be() {
        let file = file(1 << 20);
        assert!((1 << 20..(1 << 20) + 8192).contains(&file.len()), "{}", file.len());
    }
}
