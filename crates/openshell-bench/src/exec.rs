//! Commands in a sandbox: the round trip of one, side by side with the backend's own client, and a hundred at once with one
//! among them that nobody reads.

use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::exec_sandbox_event::Payload;
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;

use crate::client::Client;
use crate::figure::Figure;
use crate::gateway::PATIENCE;
use crate::script::Script;
use crate::supervised::{Work, exec, is_supervised, request};
use crate::{Backend, Report, Result};

/// How often each client runs the command, by turns.
const RUNS: usize = 200;
/// Of the time of the backend's own client, at most.
const BOUND: f64 = 0.5;
/// How many run at once, one of which is stuck.
const STREAMS: usize = 100;
/// How many of them share a connection.
const SHARED: usize = 10;
/// How much each of them prints.
const BYTES: u64 = 2 << 20;
/// How long the supervisor is left alone before it is looked at.
const IDLE: Duration = Duration::from_secs(2);
/// What a supervisor may keep resident then, in MB.
const IDLE_MB: f64 = 6.0;

pub(crate) async fn measure(backend: &Backend, script: &Script, report: &mut Report) -> Result<()> {
    if !is_supervised(backend, "exec") {
        return Ok(());
    }
    let work = Work::begin(backend, script).await?;
    let figures = figures(&backend.name, script, &work).await;
    // Whatever came of it, the backend keeps nothing.
    let ended = work.end().await;
    figures?.iter().for_each(|figure| report.show(figure));
    ended
}

async fn figures(name: &str, script: &Script, work: &Work) -> Result<Vec<Figure>> {
    tokio::time::sleep(IDLE).await;
    let (idle, _) = work.supervisor_mb().await?;
    let idle = Figure::new(format!("supervisor resident idle, {name}"), "MB", vec![idle]);
    let mut figures = vec![idle.median_at_most(IDLE_MB)];
    figures.extend(round_trips(name, script, work).await?);
    figures.extend(at_once(name, work).await?);
    let (_, most) = work.supervisor_mb().await?;
    let what = format!("supervisor, most resident with {STREAMS} commands at once, {name}");
    figures.push(Figure::new(what, "MB", vec![most]));
    Ok(figures)
}

/// `true`, by turns.
async fn round_trips(name: &str, script: &Script, work: &Work) -> Result<[Figure; 3]> {
    let mut client = OpenShellClient::new(work.connect().await?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first of each does not count.
    for run in 0..=RUNS {
        let begun = Instant::now();
        let ran = exec(&mut client, &work.id, &["true"]).await?;
        let took = begun.elapsed();
        let mut own_client = script.exec(&work.inside, &["true"])?;
        let begun = Instant::now();
        let ended = own_client.output()?;
        let theirs_took = begun.elapsed();
        if ran.code != 0 || !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            return Err(
                format!("`true` ends with {}, and by hand with {}: {said}", ran.code, ended.status).into()
            );
        }
        if run > 0 {
            ours.push(took);
            theirs.push(theirs_took);
        }
    }
    let ours = Figure::ms(format!("exec of `true`, {name}"), &ours);
    let theirs = Figure::ms(format!("the same by {name}'s own client"), &theirs);
    let ratio = ours.median() / theirs.median();
    let ratio = Figure::new(format!("exec of `true` over the own client, {name}"), "ratio", vec![ratio]);
    Ok([ours, theirs, ratio.median_at_most(BOUND)])
}

/// Many commands that print much, beside one whose client does not read.
async fn at_once(name: &str, work: &Work) -> Result<[Figure; 3]> {
    let mut clients = Vec::new();
    for _ in 0..STREAMS / SHARED {
        clients.push(OpenShellClient::new(work.connect().await?));
    }
    // On the same connection as others.
    let stuck = clients[0].exec_sandbox(request(&work.id, &["cat", "/dev/zero"])).await?;
    let begun = Instant::now();
    let mut readers = Vec::new();
    for number in 1..STREAMS {
        let (mut client, id) = (clients[number % clients.len()].clone(), work.id.clone());
        readers.push(tokio::spawn(async move {
            tokio::time::timeout(PATIENCE, read(&mut client, &id)).await.map_err(|_| "it never ends".into())
        }));
    }
    let mut lost = 0;
    for reader in readers {
        match reader.await?.and_then(|read| read) {
            Ok(BYTES) => {}
            Ok(bytes) => {
                eprintln!("lost: {} of {BYTES} bytes", BYTES.saturating_sub(bytes));
                lost += 1;
            }
            Err(error) => {
                eprintln!("lost: {error}");
                lost += 1;
            }
        }
    }
    let took = begun.elapsed();
    let mut beside = Vec::new();
    let mut client = clients.swap_remove(0);
    for _ in 0..RUNS {
        let begun = Instant::now();
        exec(&mut client, &work.id, &["true"]).await?;
        beside.push(begun.elapsed());
    }
    drop(stuck);
    let what = format!("{STREAMS} commands at once, one stuck, {name}");
    let lost = Figure::new(format!("{what}: cut short"), "1", vec![f64::from(lost)]);
    Ok([
        Figure::ms(format!("{what}: the others' {} MiB each", BYTES >> 20), &[took]),
        lost.median_at_most(0.0),
        Figure::ms(format!("exec of `true` beside one that is stuck, {name}"), &beside),
    ])
}

/// Reads a command to its end, and gives how much it printed.
async fn read(client: &mut Client, sandbox: &str) -> Result<u64> {
    let count = BYTES.to_string();
    let command = ["head", "-c", &count, "/dev/zero"];
    let mut events = client.exec_sandbox(request(sandbox, &command)).await?.into_inner();
    let mut bytes = 0;
    while let Some(event) = events.message().await? {
        match event.payload {
            Some(Payload::Stdout(piece)) => bytes += piece.data.len() as u64,
            Some(Payload::Exit(exit)) if exit.exit_code == 0 => return Ok(bytes),
            Some(Payload::Exit(exit)) => return Err(format!("it ends with {}", exit.exit_code).into()),
            Some(Payload::Stderr(_)) | None => {}
        }
    }
    Err("its stream ends before it does".into())
}
