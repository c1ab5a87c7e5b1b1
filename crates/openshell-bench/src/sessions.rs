//! A thousand supervisors on one gateway: none is lost, each can be worked through, and a client that does not read is in
//! nobody's way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use openshell_driver_api::Secret;
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::task::JoinSet;

use crate::client::{self, Client};
use crate::driver::Memory;
use crate::figure::Figure;
use crate::gateway::{Home, On, PATIENCE};
use crate::supervised::{exec, request};
use crate::supervisor::{self, FLOOD, WORD};
use crate::watch::clear;
use crate::{Args, Report, Result};

/// How many sandboxes there are, each with a supervisor.
const SANDBOXES: usize = 1000;
/// How many commands share a connection.
const SHARED: usize = 100;
/// How often a command's round trip is measured beside all sessions.
const RUNS: usize = 200;
/// How often it is looked whether all are there.
const LOOK: Duration = Duration::from_millis(50);
/// How long a supervisor waits until it dials again.
const BACKOFF: Duration = Duration::from_millis(100);

pub(crate) async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    // Each supervisor has a connection of its own.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })?;
    let home = Home::new()?;
    let (driver, socket) = Memory::serve(home.path())?;
    let on = On::Supervised(socket);
    let gateway = home.start(&args.gateway, &on).await?;
    let mut client = gateway.client().await?;
    let begun = Instant::now();
    let (doors, mut sandboxes) = (home.doors()?, Vec::new());
    for number in 0..SANDBOXES {
        sandboxes.push(client::create(&mut client, format!("session-{number}"), "none").await?.0);
    }
    let mut supervisors = JoinSet::new();
    for id in &sandboxes {
        let boot = token(&driver, id).await?;
        supervisors.spawn(keep(doors.join(id).join("gateway.sock"), id.clone(), boot));
    }
    let ready = all_ready(&mut client).await?;
    let name = format!("{SANDBOXES} supervisors");
    let none = |what: &str, count: usize| {
        Figure::new(format!("{name}: {what}"), "1", vec![count as f64]).median_at_most(0.0)
    };
    report.show(&Figure::ms(format!("{name}: all Ready"), &[begun.elapsed()]));
    report.show(&none("lost", SANDBOXES - ready));
    let resident = gateway.resident_mb()?;
    report.show(&Figure::new(format!("{name}: gateway resident"), "MB", vec![resident]));
    let worked = work(&home, &sandboxes).await?;
    report.show(&Figure::ms(format!("{name}: a command in each at once, one stuck"), &[worked.took]));
    report.show(&none("commands that failed", worked.failed));
    report.show(&Figure::ms(format!("{name}: a command's round trip beside them"), &worked.beside));

    // Killed in the middle of it all: the next gateway is found by every one of them.
    drop(gateway);
    let begun = Instant::now();
    let gateway = home.start(&args.gateway, &on).await?;
    // One whose supervisor is not back yet is waited for by the gateway.
    let again = in_each(&home, &sandboxes).await?;
    let what = "a killed gateway, until a command has run in each";
    report.show(&Figure::ms(format!("{name}: {what}"), &[begun.elapsed()]));
    report.show(&none("lost by that", SANDBOXES - again));
    supervisors.shutdown().await;
    clear(&mut gateway.client().await?).await?;
    gateway.stop().await
}

/// The token of a sandbox, once the driver has been asked for it.
async fn token(driver: &Memory, id: &str) -> Result<Secret> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(token) = driver.token(id)? {
            return Ok(token);
        }
        if Instant::now() > deadline {
            return Err(format!("the driver is never asked for the sandbox `{id}`").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Keeps a supervisor connected, as long as it takes.
async fn keep(door: PathBuf, id: String, boot: Secret) {
    loop {
        // However it ended: what is lost is counted at the gateway.
        let _ended = supervisor::attend(&door, &id, &boot).await;
        tokio::time::sleep(BACKOFF).await;
    }
}

/// Waits until every sandbox is Ready; how many are.
async fn all_ready(client: &mut Client) -> Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let listed = client::list(client, 1000, 0).await?;
        let is_ready = |sandbox: &proto::Sandbox| {
            sandbox.status.as_ref().is_some_and(|status| status.phase() == proto::SandboxPhase::Ready)
        };
        let ready = listed.iter().filter(|sandbox| is_ready(sandbox)).count();
        if ready == SANDBOXES || Instant::now() > deadline {
            return Ok(ready);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What came of commands in every sandbox.
struct Worked {
    took: Duration,
    failed: usize,
    beside: Vec<Duration>,
}

/// A command in each sandbox at once, beside one that nobody reads.
async fn work(home: &Home, sandboxes: &[String]) -> Result<Worked> {
    let mut first = OpenShellClient::new(client::connect_wide(&home.socket()).await?);
    let id = sandboxes.first().ok_or("there are no sandboxes")?;
    let stuck = first.exec_sandbox(request(id, &[FLOOD])).await?;
    let begun = Instant::now();
    let failed = sandboxes.len() - in_each(home, sandboxes).await?;
    let took = begun.elapsed();
    let mut beside = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        exec(&mut first, id, &["hello"]).await?;
        beside.push(begun.elapsed());
    }
    drop(stuck);
    Ok(Worked { took, failed, beside })
}

/// Runs a command in each sandbox; how many said what they should. Why others did not is told once a reason.
async fn in_each(home: &Home, sandboxes: &[String]) -> Result<usize> {
    let mut commands = JoinSet::new();
    for shared in sandboxes.chunks(SHARED) {
        let client = OpenShellClient::new(client::connect_wide(&home.socket()).await?);
        for id in shared {
            let (mut client, id) = (client.clone(), id.clone());
            commands.spawn(async move { exec(&mut client, &id, &["hello"]).await });
        }
    }
    let (mut well, mut reasons) = (0, BTreeMap::<String, usize>::new());
    while let Some(ran) = commands.join_next().await {
        match ran? {
            Ok(ran) if ran.code == 0 && ran.out == WORD => well += 1,
            Ok(_) => *reasons.entry("another answer".to_owned()).or_default() += 1,
            Err(error) => *reasons.entry(error.to_string()).or_default() += 1,
        }
    }
    for (reason, count) in reasons {
        eprintln!("{count} commands: {reason}");
    }
    Ok(well)
}
