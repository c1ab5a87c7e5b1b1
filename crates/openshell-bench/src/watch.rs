//! From an event of the driver to the last of a hundred watchers.

use std::time::{Duration, Instant};

use openshell_driver_api::conditions;
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use tokio::sync::mpsc;

use crate::client::{self, Client};
use crate::driver::Memory;
use crate::figure::Figure;
use crate::gateway::{Home, On, PATIENCE};
use crate::{Args, Report, Result};

/// How many watch.
const WATCHERS: usize = 100;
/// How many of them share a connection.
const SHARED: usize = 10;
/// The last of them has it after so many milliseconds.
const BOUND_MS: f64 = 20.0;

/// What a watcher has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    State,
    Event,
}

pub(crate) async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let home = Home::new()?;
    let (driver, socket) = Memory::serve(home.path())?;
    let gateway = home.start(&args.gateway, &On::Socket(socket)).await?;
    let mut client = gateway.client().await?;
    let (id, name) = client::create(&mut client, String::new(), "none").await?;
    until_ready(&mut client, &name).await?;
    let (told, mut seen) = mpsc::unbounded_channel();
    for _ in 0..WATCHERS / SHARED {
        let client = gateway.client().await?;
        for _ in 0..SHARED {
            watch(client.clone(), id.clone(), told.clone()).await?;
        }
    }
    collect(&mut seen, Seen::State).await?;
    let (mut events, mut states) = (Vec::new(), Vec::new());
    for run in 0..args.runs {
        let begun = Instant::now();
        driver.tell(&id, "Bench")?;
        events.push(collect(&mut seen, Seen::Event).await?.saturating_duration_since(begun));
        let conditions = if run % 2 == 0 { conditions::stopped("bench") } else { vec![conditions::ready()] };
        let begun = Instant::now();
        driver.report(&id, conditions)?;
        states.push(collect(&mut seen, Seen::State).await?.saturating_duration_since(begun));
    }
    gateway.stop().await?;
    let name = format!("watch, an event to {WATCHERS} watchers");
    report.show(&Figure::ms(name, &events).median_at_most(BOUND_MS));
    let name = format!("watch, a change of state to {WATCHERS} watchers");
    report.show(&Figure::ms(name, &states).median_at_most(BOUND_MS));
    Ok(())
}

/// Begins one watch, and tells of each thing that it receives, and when.
async fn watch(mut client: Client, id: String, told: mpsc::UnboundedSender<(Seen, Instant)>) -> Result<()> {
    let request =
        proto::WatchSandboxRequest { id, follow_status: true, follow_events: true, ..Default::default() };
    let mut stream = client.watch_sandbox(request).await?.into_inner();
    tokio::spawn(async move {
        while let Ok(Some(event)) = stream.message().await {
            let seen = match event.payload {
                Some(Payload::Sandbox(_)) => Seen::State,
                Some(Payload::Event(_)) => Seen::Event,
                _ => continue,
            };
            // Nobody counts any more once the figures are there.
            let _over = told.send((seen, Instant::now()));
        }
    });
    Ok(())
}

/// Waits until every watcher has received one thing of a kind, and gives the moment of the last.
async fn collect(seen: &mut mpsc::UnboundedReceiver<(Seen, Instant)>, kind: Seen) -> Result<Instant> {
    let mut last = None;
    for have in 0..WATCHERS {
        let next = tokio::time::timeout(PATIENCE, seen.recv()).await;
        let Ok(Some((found, at))) = next else {
            return Err(format!("{have} of {WATCHERS} watchers have received it").into());
        };
        if found != kind {
            return Err(format!("a watcher has received {found:?} in place of {kind:?}").into());
        }
        last = last.max(Some(at));
    }
    last.ok_or_else(|| "there are no watchers".into())
}

/// Waits until a sandbox is ready, by asking now and then.
pub(crate) async fn until_ready(client: &mut Client, name: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = client::get(client, name).await?.and_then(|sandbox| sandbox.status);
        match found.map(|status| status.phase()) {
            Some(proto::SandboxPhase::Ready) => return Ok(()),
            Some(proto::SandboxPhase::Error) => return Err(format!("sandbox `{name}` failed").into()),
            _ if Instant::now() > deadline => {
                return Err(format!("sandbox `{name}` is never ready").into());
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Waits until a sandbox is ready, by its watch: to the moment.
pub(crate) async fn wait_for_ready(client: &mut Client, id: &str, name: &str) -> Result<()> {
    let request = proto::WatchSandboxRequest { id: id.to_owned(), follow_status: true, ..Default::default() };
    let mut stream = client.watch_sandbox(request).await?.into_inner();
    let told = async {
        while let Some(event) = stream.message().await? {
            let Some(Payload::Sandbox(sandbox)) = event.payload else { continue };
            match sandbox.status.map(|status| status.phase()) {
                Some(proto::SandboxPhase::Ready) => return Ok(()),
                Some(proto::SandboxPhase::Error) => return Err(format!("sandbox `{name}` failed").into()),
                _ => {}
            }
        }
        Err(format!("the watch of sandbox `{name}` ended").into())
    };
    let late = |_| format!("sandbox `{name}` is never ready");
    tokio::time::timeout(PATIENCE, told).await.map_err(late)?
}

/// Waits until a sandbox is gone.
pub(crate) async fn until_gone(client: &mut Client, name: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while client::get(client, name).await?.is_some() {
        if Instant::now() > deadline {
            return Err(format!("sandbox `{name}` does not go").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Deletes every sandbox of a gateway that is the measurement's own, and waits until they are gone. Each is tried, whatever
/// comes of the others.
pub(crate) async fn clear(client: &mut Client) -> Result<()> {
    let listed = client::list(client, 1000, 0).await?;
    let names: Vec<String> =
        listed.into_iter().filter_map(|sandbox| sandbox.metadata.map(|metadata| metadata.name)).collect();
    let mut result = Ok(());
    for name in &names {
        result = result.and(client::delete(client, name).await);
    }
    for name in &names {
        result = result.and(until_gone(client, name).await);
    }
    result
}
