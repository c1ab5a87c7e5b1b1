//! The command line: what can be asked for, and in which words.

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, Subcommand};
use serde_json::{Map, Value};

use crate::error::Kind;
use crate::parse;
use crate::text::word;

/// Talk to an OpenShell gateway
#[derive(Debug, Parser)]
#[command(name = "openshell", version, propagate_version = true, after_help = Kind::table())]
pub(crate) struct Args {
    /// How to reach the gateway, and in which form to print.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that every command has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// The gateway's Unix socket [default: $XDG_RUNTIME_DIR/openshell/gateway.sock, root's: /run/openshell/gateway.sock]
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "OPENSHELL_GATEWAY_SOCKET",
        hide_env_values = true
    )]
    pub(crate) gateway_socket: Option<OsString>,

    /// Accept a gateway that runs as this user too, beside root and yourself; may be repeated
    #[arg(long, global = true, value_name = "UID")]
    pub(crate) trust_uid: Vec<u32>,

    /// How long each call may take: 30, 1.5s, 500ms, 2m
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = parse::duration)]
    pub(crate) timeout: Duration,

    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, look at and end sandboxes
    #[command(subcommand, visible_alias = "sb")]
    Sandbox(SandboxCommand),
    /// Show whether the gateway works and which compute driver it runs
    Status(StatusArgs),
}

/// `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Wait for a gateway that has yet to come up, or fail after TIME (60s when left out)
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "60s",
          value_parser = parse::duration)]
    pub(crate) wait: Option<Duration>,
}

/// The commands on sandboxes.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Make a sandbox and print its name
    Create(Box<CreateArgs>),
    /// Show one sandbox and why it is in its phase
    Get(OneArgs),
    /// List sandboxes
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Follow one sandbox until it is gone
    Watch(WatchArgs),
    /// Stop a sandbox and keep its workspace
    Stop(ChangeArgs),
    /// Start a stopped or failed sandbox again
    Start(ChangeArgs),
    /// Remove a sandbox and all that was made for it
    #[command(visible_alias = "rm")]
    Delete(ChangeArgs),
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

    /// The workspace [default: default]
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) workspace: Option<String>,

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

/// Which sandbox.
#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    /// The sandbox's name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    /// Its workspace [default: default]
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) workspace: Option<String>,
}

impl OneArgs {
    /// The workspace as a request has it: empty is the default one.
    pub(crate) fn workspace(&self) -> String {
        self.workspace.clone().unwrap_or_default()
    }

    /// `openshell sandbox <command> <this one>`, for hints.
    pub(crate) fn command(&self, command: &str) -> String {
        let workspace = self.workspace.as_ref().map(|name| format!(" --workspace {}", word(name)));
        format!("openshell sandbox {command} {}{}", word(&self.name), workspace.unwrap_or_default())
    }
}

/// `sandbox list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Only sandboxes with these labels: k=v,k2!=v2,k3
    #[arg(long, short = 'l', default_value = "", hide_default_value = true)]
    pub(crate) selector: String,

    /// Only this workspace [default: default]
    #[arg(long, short, value_parser = NonEmptyStringValueParser::new(), conflicts_with = "all_workspaces")]
    pub(crate) workspace: Option<String>,

    /// Every workspace
    #[arg(long, short = 'A')]
    pub(crate) all_workspaces: bool,

    /// At most this many [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
}

/// `sandbox watch`.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) sandbox: OneArgs,

    /// End when it is ready or has failed
    #[arg(long)]
    pub(crate) stop_on_terminal: bool,

    /// Show what its backend says of it, too
    #[arg(long)]
    pub(crate) events: bool,
}

/// `sandbox stop`, `start`, `delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) sandbox: OneArgs,

    /// Return when that is done, or fail after TIME (300s when left out)
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "300s",
          value_parser = parse::duration)]
    pub(crate) wait: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    fn create(line: &[&str]) -> CreateArgs {
        let args =
            Args::try_parse_from(["openshell", "sandbox", "create"].iter().chain(line)).expect("valid");
        match args.command {
            Command::Sandbox(SandboxCommand::Create(create)) => *create,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_optional_value_does_not_swallow_the_command() {
        let args = create(&["--gpu", "--wait", "--", "sleep", "5"]);
        assert_eq!((args.gpu, args.wait), (Some(None), Some(Duration::from_secs(300))));
        assert_eq!(args.command, ["sleep", "5"]);
        let args = create(&["--gpu", "2", "--wait=10", "--", "-x"]);
        assert_eq!((args.gpu, args.wait), (Some(Some(2)), Some(Duration::from_secs(10))));
        assert_eq!(args.command, ["-x"]);
    }
}
