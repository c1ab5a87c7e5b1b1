//! Sixty-four clients that create and delete on a real engine: afterwards nothing is there that should not be, nothing
//! is missing, and the gateway has not grown.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::client::{self, Client};
use crate::figure::Figure;
use crate::gateway::{Gateway, Home};
use crate::script::Script;
use crate::watch::{clear, until_gone};
use crate::{Args, Backend, Report, Result};

/// How many clients.
const CLIENTS: usize = 64;
/// How often memory and descriptors are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What the last third of the time may have over the first, beyond which it grows: a tenth, for the heap of a process
/// that was never as busy before.
const GROWTH: f64 = 1.1;

pub(crate) async fn measure(
    args: &Args,
    backend: &Backend,
    script: &Script,
    report: &mut Report,
) -> Result<()> {
    if !script.has_room(CLIENTS, &format!("soak on {}", backend.name))? {
        return Ok(());
    }
    let home = Home::new()?;
    let gateway = home.start(&backend.gateway, &backend.on()?).await?;
    let image = script.image()?;
    let deadline = Instant::now() + Duration::from_secs(args.seconds);
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = gateway.client().await?;
        clients.push(tokio::spawn(live(client, number, deadline, image.clone())));
    }
    let (mut memory, mut descriptors) = (Vec::new(), Vec::new());
    while Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        memory.push(gateway.resident_mb()?);
        descriptors.push(gateway.descriptors()? as f64);
    }
    let mut lives = Vec::new();
    for client in clients {
        lives.extend(client.await??);
    }
    // Each client has left one: now there has to be as much as there are rows, and in the end nothing.
    let strays = strays(script, &home, &gateway).await?;
    let left = clean_up(script, &home, &gateway).await?;
    let after = gateway.resident_mb()?;
    gateway.stop().await?;
    let soak = format!("soak on {}", backend.name);
    let name = format!("{soak}, a life of a sandbox among {CLIENTS}");
    report.show(&Figure::ms(name, &lives));
    let named = |what: &str| format!("{soak}, {what}");
    let none = |what: &str, count: f64| Figure::new(named(what), "1", vec![count]).median_at_most(0.0);
    report.show(&none("rows without resource or resources without row", strays));
    report.show(&none("resources or rows left after the last delete", left));
    let flat = |what: &str, samples: &[f64]| {
        Figure::new(named(what), "ratio", vec![growth(samples)]).median_at_most(GROWTH)
    };
    report.show(&flat("memory of the last third over the first", &memory));
    report.show(&flat("descriptors of the last third over the first", &descriptors));
    report.show(&Figure::new(named("resident"), "MB", memory));
    report.show(&Figure::new(named("resident at the end"), "MB", vec![after]));
    report.show(&Figure::new(named("descriptors"), "1", descriptors));
    Ok(())
}

/// Creates and deletes until the time is over, and leaves the last one; how long each life took.
async fn live(mut client: Client, number: usize, deadline: Instant, image: String) -> Result<Vec<Duration>> {
    let mut lives = Vec::new();
    for made in 0_usize.. {
        let begun = Instant::now();
        let name = format!("soak-{number}-{made}");
        client::create(&mut client, name.clone(), &image).await?;
        // Some go while they come, as they do when people change their minds.
        if made % 4 != 3 {
            crate::watch::until_ready(&mut client, &name).await?;
        }
        if Instant::now() >= deadline {
            crate::watch::until_ready(&mut client, &name).await?;
            break;
        }
        client::delete(&mut client, &name).await?;
        until_gone(&mut client, &name).await?;
        lives.push(begun.elapsed());
    }
    Ok(lives)
}

/// How many rows have no resource and resources no row.
async fn strays(script: &Script, home: &Home, gateway: &Gateway) -> Result<f64> {
    let rows = rows(gateway).await?;
    let resources = script.resources(&home.gateway_id()?)?;
    for stray in rows.symmetric_difference(&resources) {
        eprintln!("stray: {stray}");
    }
    Ok(rows.symmetric_difference(&resources).count() as f64)
}

/// Deletes everything, and counts what is there afterwards.
async fn clean_up(script: &Script, home: &Home, gateway: &Gateway) -> Result<f64> {
    clear(&mut gateway.client().await?).await?;
    let resources = script.resources(&home.gateway_id()?)?.len();
    Ok((rows(gateway).await?.len() + resources) as f64)
}

/// The ids of all rows.
async fn rows(gateway: &Gateway) -> Result<BTreeSet<String>> {
    let mut client = gateway.client().await?;
    let listed = client::list(&mut client, 1000, 0).await?;
    Ok(listed.into_iter().filter_map(|sandbox| sandbox.metadata.map(|metadata| metadata.id)).collect())
}

/// The mean of the last third over that of the first.
fn growth(samples: &[f64]) -> f64 {
    let third = (samples.len() / 3).max(1);
    let mean = |samples: &[f64]| samples.iter().sum::<f64>() / samples.len() as f64;
    match (samples.get(..third), samples.len().checked_sub(third)) {
        (Some(first), Some(last)) => mean(&samples[last..]) / mean(first),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::growth;

    #[test]
    fn what_grows_is_seen() {
        assert!((growth(&[10.0; 30]) - 1.0).abs() < 1e-9);
        let rising: Vec<f64> = (10..40).map(f64::from).collect();
        assert!(growth(&rising) > 2.0);
        assert!(growth(&[]).is_nan());
    }
}
