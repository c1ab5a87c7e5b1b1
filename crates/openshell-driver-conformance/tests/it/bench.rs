//! A driver in memory that can be stopped and started, and what the kit says of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::async_trait;
use openshell_driver_conformance::{Options, Report, Restart, Target, run};
use openshell_driver_fake::{Fake, Fault, Scenario, Served};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// A driver that serves in this process.
pub(crate) struct Bench {
    fake: Fake,
    scenario: Scenario,
    home: TempDir,
    served: Mutex<Option<Served>>,
}

impl Bench {
    pub(crate) fn start(scenario: Scenario) -> Arc<Self> {
        let home = TempDir::new().expect("a directory");
        let fake = Fake::keeping(scenario.clone(), &home.path().join("state"));
        Self::of(fake, scenario, home)
    }

    fn of(fake: Fake, scenario: Scenario, home: TempDir) -> Arc<Self> {
        let served = fake.start(&home.path().join("run/driver.sock")).expect("a socket");
        Arc::new(Self { fake, scenario, home, served: Mutex::new(Some(served)) })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("run/driver.sock")
    }
}

#[async_trait]
impl Restart for Bench {
    async fn stop(&self) -> Result<(), String> {
        match self.served.lock().await.take() {
            // In a task of its own: a driver that does not stop goes on when nobody waits for it any more.
            Some(served) => match tokio::spawn(served.stop()).await {
                Ok(stopped) => stopped.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
            None => Err("it does not run".to_owned()),
        }
    }

    async fn start(&self) -> Result<(), String> {
        let path: &Path = &self.path();
        let served = self.fake.start(path).map_err(|error| error.to_string())?;
        *self.served.lock().await = Some(served);
        Ok(())
    }

    async fn start_again(&self) -> Result<(), String> {
        // One that has the socket now serves from here on.
        if let Ok(served) = self.fake.start(&self.path()) {
            *self.served.lock().await = Some(served);
        }
        Ok(())
    }

    async fn beside(&self) -> Result<Option<(Box<dyn Restart>, PathBuf)>, String> {
        let home = TempDir::new().map_err(|error| error.to_string())?;
        let beside = Self::of(self.fake.beside(), self.scenario.clone(), home);
        let socket = beside.path();
        Ok(Some((Box::new(Beside(beside)), socket)))
    }
}

/// Another gateway's driver.
struct Beside(Arc<Bench>);

#[async_trait]
impl Restart for Beside {
    async fn stop(&self) -> Result<(), String> {
        self.0.stop().await
    }

    async fn start(&self) -> Result<(), String> {
        self.0.start().await
    }

    async fn start_again(&self) -> Result<(), String> {
        self.0.start_again().await
    }
}

/// Short times for a driver that is quick, and everything that can be tested.
pub(crate) fn options(bench: &Arc<Bench>) -> Options {
    Options {
        image: Some("fake:1".to_owned()),
        timeout: Duration::from_secs(4),
        connect_timeout: Duration::from_secs(10),
        prompt: Duration::from_secs(1),
        quiet: Duration::from_millis(120),
        // More than a hundred are worth their while only where lists end early.
        many: bench.scenario.has(Fault::ListCapped).then_some(101).or(Some(3)),
        restart: Some(Arc::clone(bench) as Arc<dyn Restart>),
        state_dir: Some(bench.home.path().join("state")),
        ..Options::default()
    }
}

/// The same with time for a machine that has other things to do: for drivers whose faults are not of time.
pub(crate) fn patient(bench: &Arc<Bench>) -> Options {
    Options {
        timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(60),
        prompt: Duration::from_secs(20),
        quiet: Duration::from_millis(400),
        ..options(bench)
    }
}

/// Holds a driver of this scenario, which has no fault of time, to the contract.
pub(crate) async fn hold_at_leisure(scenario: Scenario) -> Report {
    let bench = Bench::start(scenario);
    run(Target::Socket(bench.path()), patient(&bench)).await.expect("a report")
}

/// Holds a driver of this scenario to the contract.
pub(crate) async fn hold(scenario: Scenario) -> Report {
    let bench = Bench::start(scenario);
    run(Target::Socket(bench.path()), options(&bench)).await.expect("a report")
}

/// The same with time for a machine that has other things to do. Only what is slow by a fault is still too slow.
pub(crate) async fn hold_patiently(scenario: Scenario) -> Report {
    let bench = Bench::start(scenario);
    let times = (Duration::from_secs(20), Duration::from_secs(2), Duration::from_millis(300));
    let (timeout, prompt, quiet) = times;
    let options = Options { timeout, prompt, quiet, ..options(&bench) };
    run(Target::Socket(bench.path()), options).await.expect("a report")
}

/// The ids of the cases that failed.
pub(crate) fn red(report: &Report) -> Vec<&'static str> {
    report.failed().map(|case| case.id).collect()
}
