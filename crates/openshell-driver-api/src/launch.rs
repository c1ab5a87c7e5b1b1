//! How a gateway starts a driver that is a program of ours: find the program, let it check its table, start it and keep
//! it up. The trait alone is here; what implements it is in builds that have such a driver.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{ComputeDriver, DriverContext, DriverError, Tried};

/// Which program to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramSearch {
    /// The driver's name.
    pub driver: String,
    /// The program's file name.
    pub program: &'static str,
    /// Where the configuration says that it is (`program_path`); nowhere else is looked then.
    pub configured: Option<PathBuf>,
}

/// What came of looking for a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramSought {
    /// The one to start, when there is one that may be started.
    pub path: Option<PathBuf>,
    /// Every place that was looked at, in order, and what is there.
    pub tried: Vec<Tried>,
}

/// A program that shall judge its table.
#[derive(Debug, Clone)]
pub struct CheckRequest {
    /// The program, as it was found.
    pub program: PathBuf,
    /// `gateway.toml`; none when there is no such file.
    pub config: Option<PathBuf>,
    /// Variables that it is given another value for, or is not given, than this process has.
    pub environment: Vec<(String, Option<String>)>,
}

/// What a program said of its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its version.
    pub version: String,
    /// Its own words, where it refuses the table.
    pub refusal: Option<String>,
}

/// What to start, and how.
#[derive(Debug, Clone)]
pub struct LaunchRequest {
    /// What a driver is told that is opened in process.
    pub context: DriverContext,
    /// The program, as it was found.
    pub program: PathBuf,
    /// `gateway.toml`; none when there is no such file.
    pub config: Option<PathBuf>,
    /// The socket that it shall serve on, in a directory of this user's that nobody else may enter.
    pub socket: PathBuf,
    /// How much it shall log, as a word of `--log-level`.
    pub log_level: &'static str,
    /// Variables that it is given another value for, or is not given, than this process has.
    pub environment: Vec<(String, Option<String>)>,
    /// How long it may take until it answers.
    pub connect_timeout: Duration,
    /// The longest that the caller gives any call.
    pub longest_call: Duration,
}

/// Starts drivers that are programs of ours. There is one in a build that has such a driver, none in others.
#[async_trait::async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// Looks for the program and starts nothing.
    fn look(&self, search: &ProgramSearch) -> ProgramSought;

    /// The program's path.
    ///
    /// # Errors
    /// `NotFound` names every place that was looked at, `FailedPrecondition` says why the one that is there is not
    /// started: it is no program, or others may write to it.
    fn find(&self, search: &ProgramSearch) -> Result<PathBuf, DriverError>;

    /// Lets the program judge its own table; nothing else is done with it.
    ///
    /// # Errors
    /// `FailedPrecondition` when it cannot be started, does not end, or is another program.
    async fn check(&self, request: &CheckRequest) -> Result<Checked, DriverError>;

    /// Starts the program and waits until it answers. It is started again whenever it ends, until the driver's
    /// [`shutdown`](ComputeDriver::shutdown), which ends it in order; it ends with this process in any case.
    ///
    /// # Errors
    /// `Unavailable` when it ends before it answers, or does not answer within `connect_timeout`, with its last words;
    /// `PermissionDenied` when another process answers in its place.
    async fn launch(&self, request: LaunchRequest) -> Result<Arc<dyn ComputeDriver>, DriverError>;
}
