//! The command line: what can be asked for, and in which words.

mod gateway;
mod inside;
mod sandbox;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCompleter;

pub(crate) use self::gateway::{AddArgs, GatewayCommand, SelectArgs};
pub(crate) use self::inside::{
    ConnectArgs, DownloadArgs, ExecArgs, ForwardArgs, InsideArg, LogLevel, LogSource, LogsArgs, SignalArgs,
    SurroundingsArg, UploadArgs,
};
pub(crate) use self::sandbox::{
    ChangeArgs, CreateArgs, EventsArgs, GetArgs, ListArgs, ManyArgs, Phase, SandboxCommand, Sort, WatchArgs,
    WorkspaceArg,
};
pub(crate) use self::workspace::WorkspaceCommand;
use crate::complete;
use crate::error::Kind;
use crate::parse;

/// How long a call may take when nothing is said.
const CALL: Duration = Duration::from_secs(30);

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
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// The gateway: a name of `openshell gateway list`, or unix://PATH, http://HOST:PORT, https://HOST:PORT
    /// [variable: OPENSHELL_GATEWAY]
    #[arg(long, global = true, value_name = "NAME|ENDPOINT", conflicts_with = "gateway_socket",
          add = ArgValueCompleter::new(complete::gateways))]
    pub(crate) gateway: Option<String>,

    /// The gateway's Unix socket [variable: OPENSHELL_GATEWAY_SOCKET]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) gateway_socket: Option<OsString>,

    /// Accept a gateway that runs as this user too, beside root and yourself; may be repeated
    #[arg(long, global = true, value_name = "UID")]
    pub(crate) trust_uid: Vec<u32>,

    /// How long each call may take: 30, 1.5s, 500ms, 2m; with `exec`, how long the command may run [default: 30s, and for
    /// ever]
    #[arg(long, global = true, value_name = "TIME", value_parser = parse::duration)]
    pub(crate) timeout: Option<Duration>,

    /// In which form to print
    #[arg(long, short, global = true, value_name = "FORM", value_enum)]
    output: Option<Form>,

    /// Print JSON: short for --output json
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,

    /// Leave the first line of a table out
    #[arg(long, global = true)]
    pub(crate) no_headers: bool,

    /// Say nothing on the way to what is waited for
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Common {
    /// How long each call may take.
    pub(crate) fn limit(&self) -> Duration {
        self.timeout.unwrap_or(CALL)
    }

    /// In which form to print.
    pub(crate) fn form(&self) -> Form {
        if self.json { Form::Json } else { self.output.unwrap_or(Form::Table) }
    }

    /// What completion works with, which knows nothing of the line but where the gateway is.
    pub(crate) fn bare(gateway: Option<String>, gateway_socket: Option<OsString>, timeout: Duration) -> Self {
        Self {
            gateway,
            gateway_socket,
            trust_uid: Vec::new(),
            timeout: Some(timeout),
            output: None,
            json: false,
            no_headers: false,
            quiet: true,
        }
    }
}

/// In which form things are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Table,
    /// The same with more columns
    Wide,
    /// For programs
    Json,
    /// Names alone, one a line
    Name,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make, look at and end sandboxes
    #[command(subcommand, visible_alias = "sb")]
    Sandbox(SandboxCommand),
    /// Make, look at and remove workspaces, which hold sandboxes
    #[command(subcommand, visible_alias = "ws")]
    Workspace(WorkspaceCommand),
    /// Choose among gateways, and say how they are reached
    #[command(subcommand, visible_alias = "gw")]
    Gateway(GatewayCommand),
    /// Show whether the gateway works, which compute driver it runs, and why it was chosen
    Status(StatusArgs),
    /// Print what makes a shell complete commands, options and names: eval "$(openshell completion bash)"
    #[command(visible_alias = "completions")]
    Completion(CompletionArgs),
    /// Print the manual page, or write one for each command
    #[command(hide = true)]
    Man(ManArgs),
}

/// `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Wait for a gateway that has yet to come up, or fail after TIME (60s when left out)
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "60s",
          value_parser = parse::duration)]
    pub(crate) wait: Option<Duration>,
}

/// `completion`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionArgs {
    /// For which shell
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    pub(crate) shell: String,
}

/// `man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write the pages of all commands into this directory, which is made
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
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

    #[test]
    fn json_is_a_form() {
        for (line, form) in [
            (&["openshell", "status"][..], Form::Table),
            (&["openshell", "status", "--json"], Form::Json),
            (&["openshell", "-o", "wide", "status"], Form::Wide),
        ] {
            assert_eq!(Args::try_parse_from(line).expect("valid").common.form(), form);
        }
        assert!(Args::try_parse_from(["openshell", "status", "--json", "-o", "name"]).is_err());
    }
}
