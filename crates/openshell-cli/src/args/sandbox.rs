//! The commands on sandboxes.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;
use openshell_proto::openshell::v1::SandboxPhase;
use serde_json::{Map, Value};

use super::inside::{ConnectArgs, DownloadArgs, ExecArgs, ForwardArgs, LogsArgs, SignalArgs, UploadArgs};
use crate::{complete, parse};

/// The commands on sandboxes.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Make a sandbox and print its name
    Create(Box<CreateArgs>),
    /// Show sandboxes, and why they are in their phase
    #[command(visible_alias = "describe")]
    Get(GetArgs),
    /// List sandboxes
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Follow one sandbox until it is gone
    Watch(WatchArgs),
    /// Show what the backend said of one sandbox
    Events(EventsArgs),
    /// Run a command in a sandbox, with its input, output and exit code
    Exec(ExecArgs),
    /// Open a shell in a sandbox, on this terminal
    Connect(ConnectArgs),
    /// Copy files into a sandbox
    Upload(UploadArgs),
    /// Copy files out of a sandbox
    Download(DownloadArgs),
    /// Show what a sandbox wrote
    Logs(LogsArgs),
    /// Make ports of a sandbox ports of this machine, until Ctrl-C
    Forward(ForwardArgs),
    /// Send a signal to a sandbox's main process
    Signal(SignalArgs),
    /// Stop sandboxes and keep their workspace
    Stop(ChangeArgs),
    /// Start stopped or failed sandboxes again
    Start(ChangeArgs),
    /// Remove sandboxes and all that was made for them
    #[command(visible_alias = "rm")]
    Delete(ChangeArgs),
}

/// The workspace that a command works in.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct WorkspaceArg {
    /// The workspace [default: the gateway's of `openshell gateway select`, else default]
    /// [variable: OPENSHELL_WORKSPACE]
    #[arg(long, short = 'W', value_parser = NonEmptyStringValueParser::new(),
          add = ArgValueCompleter::new(complete::workspaces))]
    pub(crate) workspace: Option<String>,
}

/// `sandbox create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Its name; without one the gateway makes one
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,

    /// The image's reference [default: the driver's]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) image: Option<String>,

    /// A variable of its environment; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = parse::pair)]
    pub(crate) env: Vec<(String, String)>,

    /// A label, which selectors match; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub(crate) label: Vec<(String, String)>,

    /// CPU not to exceed: 500m, 2
    #[arg(long, value_name = "QUANTITY", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cpu: Option<String>,

    /// Memory not to exceed: 512Mi, 1.5Gi
    #[arg(long, value_name = "QUANTITY", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) memory: Option<String>,

    /// CPU to reserve
    #[arg(long, value_name = "QUANTITY", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cpu_request: Option<String>,

    /// Memory to reserve
    #[arg(long, value_name = "QUANTITY", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) memory_request: Option<String>,

    /// Ask for GPUs, this many or as many as the driver sees fit
    #[arg(long, value_name = "COUNT", num_args = 0..=1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) gpu: Option<Option<u32>>,

    /// Where it goes.
    #[command(flatten)]
    pub(crate) place: WorkspaceArg,

    /// Settings for drivers, by name: '{"NAME": {…}}', or @FILE
    #[arg(long, value_name = "JSON", value_parser = parse::driver_config)]
    pub(crate) driver_config: Option<Map<String, Value>>,

    /// Give the main process a terminal
    #[arg(long, short)]
    pub(crate) tty: bool,

    /// Return when it is ready, or fail after TIME (300s when left out)
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "300s",
          value_parser = parse::duration)]
    pub(crate) wait: Option<Duration>,

    /// The exact command of its main process, without a shell [default: the image's own]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `sandbox get`.
#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// The sandboxes: names, or at least 4 characters of their ids
    #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(),
          add = ArgValueCompleter::new(complete::sandboxes))]
    pub(crate) names: Vec<String>,

    /// Where they are.
    #[command(flatten)]
    pub(crate) place: WorkspaceArg,

    /// Show it again whenever it changes, until it is gone
    #[arg(long, short)]
    pub(crate) watch: bool,
}

/// `sandbox list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only sandboxes with these labels: k=v,k2!=v2,k3
    #[arg(long, short = 'l', default_value = "", hide_default_value = true)]
    pub(crate) selector: String,

    /// Only sandboxes in these phases
    #[arg(long, value_name = "PHASE", value_enum, value_delimiter = ',')]
    pub(crate) phase: Vec<Phase>,

    /// Which workspace.
    #[command(flatten)]
    pub(crate) place: WorkspaceArg,

    /// Every workspace
    #[arg(long, short = 'A', conflicts_with = "workspace")]
    pub(crate) all_workspaces: bool,

    /// At most this many [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,

    /// In which order [default: as they were made]
    #[arg(long, value_enum)]
    pub(crate) sort: Option<Sort>,

    /// Go on with a row for each that comes, changes or goes
    #[arg(long, short, conflicts_with_all = ["limit", "sort"])]
    pub(crate) watch: bool,
}

/// An order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// By workspace and name
    Name,
    /// The youngest first
    Age,
    /// By phase, what needs a look first
    Phase,
}

/// A phase, as it is typed and printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Phase {
    /// On its way up for the first time
    Provisioning,
    /// Running
    Ready,
    /// Failed
    Error,
    /// On its way out
    Deleting,
    /// On its way to rest
    Stopping,
    /// At rest
    Stopped,
    /// On its way up again
    Starting,
    /// The gateway cannot tell
    Unknown,
}

impl From<SandboxPhase> for Phase {
    fn from(phase: SandboxPhase) -> Self {
        match phase {
            SandboxPhase::Unspecified | SandboxPhase::Unknown => Self::Unknown,
            SandboxPhase::Provisioning => Self::Provisioning,
            SandboxPhase::Ready => Self::Ready,
            SandboxPhase::Error => Self::Error,
            SandboxPhase::Deleting => Self::Deleting,
            SandboxPhase::Stopping => Self::Stopping,
            SandboxPhase::Stopped => Self::Stopped,
            SandboxPhase::Starting => Self::Starting,
        }
    }
}

/// `sandbox watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// The sandbox: its name, or at least 4 characters of its id
    #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::sandboxes))]
    pub(crate) name: String,

    /// Where it is.
    #[command(flatten)]
    pub(crate) place: WorkspaceArg,

    /// End when it is ready or has failed
    #[arg(long)]
    pub(crate) stop_on_terminal: bool,

    /// Show what its backend says of it, too
    #[arg(long)]
    pub(crate) events: bool,
}

/// `sandbox events`.
#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// The sandbox: its name, or at least 4 characters of its id
    #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::sandboxes))]
    pub(crate) name: String,

    /// Where it is.
    #[command(flatten)]
    pub(crate) place: WorkspaceArg,

    /// Go on until the sandbox is gone
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Begin with at most this many of the latest
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) tail: u32,
}

/// `sandbox stop`, `start`, `delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) which: ManyArgs,

    /// Return when that is done, or fail after TIME (300s when left out)
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "300s",
          value_parser = parse::duration)]
    pub(crate) wait: Option<Duration>,
}

/// One or several sandboxes, by name or by what they have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct ManyArgs {
    /// The sandboxes: names, or at least 4 characters of their ids
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "selector"],
          value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::sandboxes))]
    pub(crate) names: Vec<String>,

    /// All of the workspace
    #[arg(long, conflicts_with_all = ["names", "selector"])]
    pub(crate) all: bool,

    /// All with these labels: k=v,k2!=v2,k3
    #[arg(long, short = 'l', conflicts_with = "names", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) selector: Option<String>,

    /// Do not ask before --all or --selector is acted on
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Where they are.
    #[command(flatten)]
    pub(crate) place: WorkspaceArg,
}
