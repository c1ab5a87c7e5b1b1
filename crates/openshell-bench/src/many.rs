//! Two hundred sandboxes at once: none is lost, the gateway stays small, and the end of each is told in time.

use std::time::{Instant, SystemTime};

use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use tokio::sync::mpsc;

use crate::client::{self, Client};
use crate::figure::{Figure, moment};
use crate::gateway::{Home, PATIENCE};
use crate::script::Script;
use crate::watch::{clear, wait_for_ready};
use crate::{Backend, Report, Result};

/// How many.
const SANDBOXES: usize = 200;
/// Resident at most, in MB.
const MEMORY_MB: f64 = 40.0;
/// From the backend's own time of an end to its watcher, at most, for 99 of 100.
const LATENCY_MS: f64 = 200.0;

pub(crate) async fn measure(backend: &Backend, script: &Script, report: &mut Report) -> Result<()> {
    if !script.has_room(SANDBOXES, &format!("{SANDBOXES} sandboxes at once, {}", backend.name))? {
        return Ok(());
    }
    let home = Home::new()?;
    let gateway = home.start(&backend.gateway, &backend.on()?).await?;
    let gateway_id = home.gateway_id()?;
    let image = script.image()?;
    let begun = Instant::now();
    let mut makers = Vec::new();
    for number in 0..SANDBOXES {
        let (mut client, image) = (gateway.client().await?, image.clone());
        makers.push(tokio::spawn(async move {
            let (id, name) = client::create(&mut client, format!("many-{number}"), &image).await?;
            wait_for_ready(&mut client, &id, &name).await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((client, id, name))
        }));
    }
    let mut memory = Vec::new();
    let mut made = Vec::new();
    for maker in makers {
        memory.push(gateway.resident_mb()?);
        match maker.await? {
            Ok(ready) => made.push(ready),
            Err(error) => eprintln!("lost: {error}"),
        }
    }
    let all_ready = begun.elapsed();
    let there = script.resources(&gateway_id)?;
    let lost = SANDBOXES - made.iter().filter(|(_, id, _)| there.contains(id)).count();
    // Now all of them end, in a row as fast as the backend's own client can, and each has a watcher.
    let (told, mut ends) = mpsc::unbounded_channel();
    for (client, id, _) in &made {
        watch_end(client.clone(), id.clone(), told.clone()).await?;
    }
    drop(told);
    let killer = script.clone();
    let id = gateway_id.clone();
    let killed = tokio::task::spawn_blocking(move || killer.run(&["kill"], &id));
    let mut seen = Vec::new();
    while let Ok(Some(end)) = tokio::time::timeout(PATIENCE, ends.recv()).await {
        seen.push(end);
        memory.push(gateway.resident_mb()?);
    }
    killed.await??;
    let unseen = made.len() - seen.len();
    // What was told first may be the time of the backend's event, which is later than that of the end.
    let recorded = script.ends(&gateway_id)?;
    let latency = |end: &End| Some(end.at.duration_since(*recorded.get(&end.id).or(end.said.as_ref())?));
    let latencies: Vec<_> =
        seen.iter().filter_map(latency).map(std::result::Result::unwrap_or_default).collect();
    clear(&mut gateway.client().await?).await?;
    let left = script.resources(&gateway_id)?.len();
    gateway.stop().await?;
    let name = format!("{SANDBOXES} sandboxes at once, {}", backend.name);
    let none = |what: &str, count: usize| {
        Figure::new(format!("{name}: {what}"), "1", vec![count as f64]).median_at_most(0.0)
    };
    report.show(&Figure::ms(format!("{name}: all Ready"), &[all_ready]));
    report.show(&none("lost", lost));
    report.show(&none("ends that nobody was told of", unseen));
    report.show(&none("ends without a time", seen.len() - latencies.len()));
    report.show(&none("left after their deletes", left));
    let most = memory.iter().copied().fold(0.0, f64::max);
    report.show(&Figure::new(format!("{name}: most resident"), "MB", vec![most]).median_at_most(MEMORY_MB));
    let latency = Figure::ms(format!("{name}: from an end to its watcher"), &latencies);
    report.show(&latency.p99_at_most(LATENCY_MS));
    Ok(())
}

/// An end that a watcher was told of.
struct End {
    id: String,
    /// When it was told.
    at: SystemTime,
    /// When it was, by what was told.
    said: Option<SystemTime>,
}

/// Watches one sandbox until it ends, and tells when that was heard. All clocks are this machine's.
async fn watch_end(mut client: Client, id: String, told: mpsc::UnboundedSender<End>) -> Result<()> {
    let request = proto::WatchSandboxRequest { id: id.clone(), follow_status: true, ..Default::default() };
    let mut stream = client.watch_sandbox(request).await?.into_inner();
    tokio::spawn(async move {
        while let Ok(Some(event)) = stream.message().await {
            let Some(Payload::Sandbox(sandbox)) = event.payload else { continue };
            let Some(status) = sandbox.status else { continue };
            if status.phase() == proto::SandboxPhase::Error {
                let at = SystemTime::now();
                let ready = status.conditions.iter().find(|condition| condition.r#type == "Ready");
                let said = ready.and_then(|ready| moment(&ready.last_transition_time).ok());
                // Nobody counts any more when the measurement was given up.
                let _over = told.send(End { id, at, said });
                return;
            }
        }
    });
    Ok(())
}
