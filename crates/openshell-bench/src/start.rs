//! From the start of the process to its first answer, when the state is there already and the driver is named.

use std::path::Path;

use crate::driver::Memory;
use crate::figure::Figure;
use crate::gateway::{Home, On};
use crate::{Args, Backend, Report, Result};

/// Serving within so many milliseconds.
const BOUND_MS: f64 = 50.0;

/// Behind a socket.
pub(crate) async fn external(args: &Args, report: &mut Report) -> Result<()> {
    let home = Home::new()?;
    let (_driver, socket) = Memory::serve(home.path())?;
    let figure =
        second_starts("start, external", &home, &args.gateway, &On::Socket(socket), args.runs).await?;
    report.show(&figure);
    Ok(())
}

/// On a driver of its own.
pub(crate) async fn named(args: &Args, backend: &Backend, report: &mut Report) -> Result<()> {
    let name = format!("start, {}", backend.name);
    report.show(&second_starts(&name, &Home::new()?, &backend.gateway, &backend.on()?, args.runs).await?);
    Ok(())
}

async fn second_starts(name: &str, home: &Home, program: &Path, on: &On, runs: usize) -> Result<Figure> {
    // The first one makes the state.
    home.start(program, on).await?.stop().await?;
    let mut samples = Vec::with_capacity(runs);
    for _ in 0..runs {
        let gateway = home.start(program, on).await?;
        samples.push(gateway.served_after);
        gateway.stop().await?;
    }
    Ok(Figure::ms(name, &samples).median_at_most(BOUND_MS))
}
