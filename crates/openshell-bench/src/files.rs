//! One large file in and out of a sandbox, by turns with the backend's own client, and what that keeps resident.

use std::fs::{self, File};
use std::io::{BufReader, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::figure::Figure;
use crate::script::Script;
use crate::supervised::{Work, is_supervised};
use crate::{Args, Backend, Report, Result, transfer};

/// How often each client copies it each way, by turns.
const RUNS: usize = 3;
/// Of the rate of the backend's own client, at least.
const BOUND: f64 = 0.6;
/// What the gateway and the supervisor may keep resident at the most, in MB.
const GATEWAY_MB: f64 = 30.0;
const SUPERVISOR_MB: f64 = 10.0;
/// Where files go in the sandbox.
const INSIDE: &str = "/sandbox";
/// What is written and compared at once.
const BLOCK: usize = 1 << 20;

pub(crate) async fn measure(
    args: &Args,
    backend: &Backend,
    script: &Script,
    report: &mut Report,
) -> Result<()> {
    if !is_supervised(backend, "files") {
        return Ok(());
    }
    let work = Work::begin(backend, script).await?;
    let figures = figures(args.mebibytes, &backend.name, script, &work).await;
    // Whatever came of it, the backend keeps nothing.
    let ended = work.end().await;
    figures?.iter().for_each(|figure| report.show(figure));
    ended
}

/// How long the copies took, each way and by each client.
#[derive(Default)]
struct Took {
    upload: Vec<Duration>,
    upload_by_hand: Vec<Duration>,
    download: Vec<Duration>,
    download_by_hand: Vec<Duration>,
}

async fn figures(mebibytes: u64, name: &str, script: &Script, work: &Work) -> Result<Vec<Figure>> {
    let took = copy(mebibytes, script, work).await?;
    let gateway = work.gateway.most_resident_mb()?;
    let (_, supervisor) = work.supervisor_mb().await?;
    let rate = |name: String, took: &[Duration]| {
        let bytes = (mebibytes << 20) as f64;
        Figure::new(name, "MB/s", took.iter().map(|took| bytes / took.as_secs_f64() / 1e6).collect())
    };
    let mut figures = Vec::new();
    for (what, ours, theirs) in
        [("upload", &took.upload, &took.upload_by_hand), ("download", &took.download, &took.download_by_hand)]
    {
        let what = format!("{what} of {mebibytes} MiB");
        let ours = rate(format!("{what}, {name}"), ours);
        let theirs = rate(format!("{what} by {name}'s own client"), theirs);
        let ratio = ours.median() / theirs.median();
        let ratio = Figure::new(format!("{what} over the own client's rate, {name}"), "ratio", vec![ratio]);
        figures.extend([ours, theirs, ratio.median_at_least(BOUND)]);
    }
    for (who, most, bound) in [("gateway", gateway, GATEWAY_MB), ("supervisor", supervisor, SUPERVISOR_MB)] {
        let most = Figure::new(format!("{who}, most resident with files, {name}"), "MB", vec![most]);
        figures.push(most.median_at_most(bound));
    }
    Ok(figures)
}

async fn copy(mebibytes: u64, script: &Script, work: &Work) -> Result<Took> {
    let (source, back) = (work.folder().join("source"), work.folder().join("back"));
    write(&source, mebibytes)?;
    let channel = work.connect().await?;
    let words = |path: &Path| path.display().to_string();
    let (source_word, back_word) = (words(&source), words(&back));
    let ours_inside = format!("{INSIDE}/ours");
    let theirs_inside = format!("{INSIDE}/theirs");
    let mut took = Took::default();
    for _ in 0..RUNS {
        let begun = Instant::now();
        transfer::upload(&channel, &work.id, &source, (INSIDE, "ours")).await?;
        took.upload.push(begun.elapsed());

        let begun = Instant::now();
        script.run(&["copy-in", &work.inside, &source_word, &theirs_inside], "")?;
        took.upload_by_hand.push(begun.elapsed());

        let begun = Instant::now();
        transfer::download(&channel, &work.id, &ours_inside, (work.folder(), "back")).await?;
        took.download.push(begun.elapsed());
        compare(&source, &back)?;
        fs::remove_file(&back)?;

        let begun = Instant::now();
        script.run(&["copy-out", &work.inside, &theirs_inside, &back_word], "")?;
        took.download_by_hand.push(begun.elapsed());
        compare(&source, &back)?;
        fs::remove_file(&back)?;
    }
    Ok(took)
}

/// A file of noise: a block of it, over and over, each time with its number at its front.
fn write(path: &Path, mebibytes: u64) -> Result<()> {
    // Marsaglia's xorshift, from any seed but 0.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(BLOCK);
    while block.len() < BLOCK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend(state.to_le_bytes());
    }
    let mut file = File::create(path)?;
    for number in 0..mebibytes {
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block)?;
    }
    // What is left to be written is not to be in the way of what is measured.
    file.sync_all()?;
    Ok(())
}

/// What has gone in and out is what it was.
fn compare(source: &Path, back: &Path) -> Result<()> {
    let same = fs::metadata(source)?.len() == fs::metadata(back)?.len();
    let mut readers = [BufReader::new(File::open(source)?), BufReader::new(File::open(back)?)];
    let mut blocks = [vec![0; BLOCK], vec![0; BLOCK]];
    let whole = fs::metadata(source)?.len() / BLOCK as u64;
    for _ in 0..if same { whole } else { 0 } {
        for (reader, block) in readers.iter_mut().zip(&mut blocks) {
            reader.read_exact(block)?;
        }
        if blocks[0] != blocks[1] {
            return Err("what came back is not what went in".into());
        }
    }
    if same { Ok(()) } else { Err("what came back has another length than what went in".into()) }
}
