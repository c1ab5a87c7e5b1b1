//! What a gateway keeps resident: idle, and after it has been asked ten thousand times; and the driver's program beside
//! idle sandboxes, where the gateway starts one.

use std::time::Duration;

use crate::client::{self, Client};
use crate::figure::Figure;
use crate::gateway::{Home, On, resident_mb};
use crate::watch::{clear, wait_for_ready};
use crate::{Backend, Report, Result};

/// How many processes are looked at.
const RUNS: usize = 3;
/// How many calls each answers.
const CALLS: usize = 10_000;
/// How long an idle gateway is left alone before it is looked at.
const IDLE: Duration = Duration::from_secs(2);
/// How many sandboxes stand idle beside a driver's program.
const SANDBOXES: usize = 20;

pub(crate) async fn measure(backend: &Backend, report: &mut Report) -> Result<()> {
    let (home, on) = (Home::new()?, backend.on()?);
    home.start(&backend.gateway, &on).await?.stop().await?;
    let (mut idle, mut after) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let gateway = home.start(&backend.gateway, &on).await?;
        tokio::time::sleep(IDLE).await;
        idle.push(gateway.resident_mb()?);
        let mut client = gateway.client().await?;
        for call in 0..CALLS {
            match call % 2 {
                0 => drop(client::list(&mut client, 100, 0).await?),
                _ => drop(client::get(&mut client, "nobody").await?),
            }
        }
        after.push(gateway.resident_mb()?);
        gateway.stop().await?;
    }
    let name = format!("resident idle, {}", backend.name);
    report.show(&Figure::new(name, "MB", idle).median_at_most(12.0));
    let name = format!("resident after {CALLS} calls, {}", backend.name);
    report.show(&Figure::new(name, "MB", after).median_at_most(20.0));
    program(backend, &home, &on, report).await
}

/// Without what the backend itself takes: a driver's program starts others, and they are not counted.
async fn program(backend: &Backend, home: &Home, on: &On, report: &mut Report) -> Result<()> {
    let Some(script) = &backend.script else { return Ok(()) };
    let gateway = home.start(&backend.gateway, on).await?;
    let name =
        format!("resident of the driver's program beside {SANDBOXES} idle sandboxes, {}", backend.name);
    if let Some(pid) = gateway.program()?
        && script.has_room(SANDBOXES, &name)?
    {
        let (mut client, image) = (gateway.client().await?, script.image()?);
        let measured = beside_idle(&mut client, &image, pid).await;
        // Whatever came of it, the backend keeps none of them.
        let cleared = clear(&mut client).await;
        let resident = measured?;
        cleared?;
        report.show(&Figure::new(name, "MB", vec![resident]).median_at_most(20.0));
    }
    gateway.stop().await
}

/// What a process keeps resident once so many sandboxes have been Ready for a while.
async fn beside_idle(client: &mut Client, image: &str, pid: u32) -> Result<f64> {
    for number in 0..SANDBOXES {
        let (id, name) = client::create(client, format!("idle-{number}"), image).await?;
        wait_for_ready(client, &id, &name).await?;
    }
    tokio::time::sleep(IDLE).await;
    resident_mb(pid)
}
