//! What a gateway keeps resident: idle, and after it has been asked ten thousand times; and what the driver's program does
//! beside idle sandboxes, where the gateway starts one.

use std::time::Duration;

use crate::client;
use crate::figure::Figure;
use crate::gateway::{Home, On, resident_mb};
use crate::watch::{until_gone, wait_for_ready};
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
    let gateway = home.start(&backend.gateway, on).await?;
    if let (Some(pid), Some(script)) = (gateway.program()?, &backend.script) {
        let (mut client, image) = (gateway.client().await?, script.image()?);
        let mut names = Vec::new();
        for number in 0..SANDBOXES {
            let (id, name) = client::create(&mut client, format!("idle-{number}"), &image).await?;
            wait_for_ready(&mut client, &id, &name).await?;
            names.push(name);
        }
        tokio::time::sleep(IDLE).await;
        let resident = resident_mb(pid)?;
        for name in &names {
            client::delete(&mut client, name).await?;
        }
        for name in &names {
            until_gone(&mut client, name).await?;
        }
        let name =
            format!("resident of the driver's program beside {SANDBOXES} idle sandboxes, {}", backend.name);
        report.show(&Figure::new(name, "MB", vec![resident]).median_at_most(20.0));
    }
    gateway.stop().await
}
