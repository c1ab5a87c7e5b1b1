//! From a create to Ready, side by side with the backend's own client that makes the same by hand.

use std::time::Instant;

use crate::client;
use crate::figure::Figure;
use crate::gateway::Home;
use crate::script::Script;
use crate::watch::{clear, until_gone, wait_for_ready};
use crate::{Backend, Report, Result};

/// How often each is done, by turns.
const RUNS: usize = 10;
/// How much longer than by hand it may take.
const BOUND: f64 = 1.15;

pub(crate) async fn measure(backend: &Backend, script: &Script, report: &mut Report) -> Result<()> {
    let home = Home::new()?;
    let gateway = home.start(&backend.gateway, &backend.on()?).await?;
    let gateway_id = home.gateway_id()?;
    let mut client = gateway.client().await?;
    let image = script.image()?;
    // One of each that does not count: images are unpacked, networks made.
    let _begun = script.run(&["begin"], &gateway_id)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut by_hand = async || -> Result<()> {
        // The network is the first sandbox's to make, so one stays through all runs.
        let (id, name) = client::create(&mut client, "stays".to_owned(), &image).await?;
        wait_for_ready(&mut client, &id, &name).await?;
        for run in 0..=RUNS {
            // Nobody else's: a measurement that was cut off has left what it had, and is in nobody's way.
            let name = format!("by-hand-{gateway_id}-{run}");
            let begun = Instant::now();
            let ran = script.run(&["run", &name], &gateway_id);
            let took = begun.elapsed();
            let removed = script.run(&["remove", &name], &gateway_id);
            ran.and(removed)?;
            let begun = Instant::now();
            let (id, name) = client::create(&mut client, format!("ready-{run}"), &image).await?;
            wait_for_ready(&mut client, &id, &name).await?;
            let ready = begun.elapsed();
            client::delete(&mut client, &name).await?;
            until_gone(&mut client, &name).await?;
            if run > 0 {
                theirs.push(took);
                ours.push(ready);
            }
        }
        Ok(())
    };
    let measured = by_hand().await;
    // Whatever came of it, the backend keeps nothing.
    let ended = script.run(&["end"], &gateway_id);
    let cleared = clear(&mut client).await;
    measured?;
    ended?;
    cleared?;
    gateway.stop().await?;
    let name = &backend.name;
    let ours = Figure::ms(format!("create to Ready, {name}"), &ours);
    let theirs = Figure::ms(format!("the same by {name}'s own client"), &theirs);
    let ratio = ours.median() / theirs.median();
    report.show(&ours);
    report.show(&theirs);
    let figure = Figure::new(format!("create to Ready over the own client, {name}"), "ratio", vec![ratio]);
    report.show(&figure.median_at_most(BOUND));
    Ok(())
}
