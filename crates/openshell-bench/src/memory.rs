//! What a gateway keeps resident: idle, and after it has been asked ten thousand times.

use std::time::Duration;

use crate::client;
use crate::figure::Figure;
use crate::gateway::Home;
use crate::{Backend, Report, Result};

/// How many processes are looked at.
const RUNS: usize = 3;
/// How many calls each answers.
const CALLS: usize = 10_000;
/// How long an idle gateway is left alone before it is looked at.
const IDLE: Duration = Duration::from_secs(2);

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
    Ok(())
}
