//! The commands that reach into a sandbox: running, copying, reading, forwarding.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ValueEnum, ValueHint};
use clap_complete::ArgValueCompleter;

use super::WorkspaceArg;
use crate::parse::Forward;
use crate::{complete, parse};

/// The sandbox that is reached into.
#[derive(Debug, clap::Args)]
pub(crate) struct InsideArg {
    /// The sandbox: its name, or at least 4 characters of its id
    #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::sandboxes))]
    pub(crate) name: String,

    /// Where it is.
    #[command(flatten)]
    pub(crate) place: WorkspaceArg,
}

/// What a command in a sandbox is given beside its words.
#[derive(Debug, clap::Args)]
pub(crate) struct SurroundingsArg {
    /// The directory that it runs in [default: that of the main process]
    #[arg(long, short = 'w', value_name = "DIR", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) workdir: Option<String>,

    /// A variable of its environment; may be repeated
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = parse::pair)]
    pub(crate) env: Vec<(String, String)>,
}

/// `sandbox exec`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The exit code is the command's own: 128 and the signal's number when a signal ended it, 124 after \
    --timeout, 126 or 127 when it could not be started. It is 255 when `openshell` itself failed."
)]
pub(crate) struct ExecArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) which: InsideArg,

    /// Give it a terminal
    #[arg(long, short)]
    pub(crate) tty: bool,

    /// Leave standard input alone; its own is empty
    #[arg(long)]
    pub(crate) no_stdin: bool,

    /// Where and with what.
    #[command(flatten)]
    pub(crate) surroundings: SurroundingsArg,

    /// The exact command, without a shell
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `sandbox connect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The exit code is the shell's own, or 255 when `openshell` itself failed.")]
pub(crate) struct ConnectArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) which: InsideArg,

    /// Where and with what.
    #[command(flatten)]
    pub(crate) surroundings: SurroundingsArg,

    /// Another program than the shell [default: /bin/bash if there is one, else /bin/sh]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `sandbox signal`.
#[derive(Debug, clap::Args)]
pub(crate) struct SignalArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) which: InsideArg,

    /// The signal: TERM, SIGTERM, 15
    #[arg(default_value = "TERM", value_parser = parse::signal)]
    pub(crate) signal: i32,
}

/// `sandbox upload`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "As with `cp -r`: into REMOTE when that is a directory, ends with a slash or several are given; else REMOTE \
    is the new name. LOCAL/. is what is in a directory. What is there is replaced, a file at a time and whole."
)]
pub(crate) struct UploadArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) which: InsideArg,

    /// Files and directories here; - is a tar archive on standard input
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) local: Vec<PathBuf>,

    /// Where to in the sandbox, absolute or from where its main process was started
    #[arg(required = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) remote: String,
}

/// `sandbox download`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "As with `cp -r`: into LOCAL when that is a directory or ends with a slash; else LOCAL is the new name. \
    REMOTE/. is what is in a directory. What is there is replaced, a file at a time and whole."
)]
pub(crate) struct DownloadArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) which: InsideArg,

    /// A file or a directory in the sandbox, absolute or from where its main process was started
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) remote: String,

    /// Where to; - writes a tar archive to standard output
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) local: OsString,
}

/// `sandbox logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) which: InsideArg,

    /// Go on until the sandbox is gone
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// At most this many of the latest lines [default: all that the gateway has]
    #[arg(long, value_name = "COUNT")]
    pub(crate) tail: Option<u32>,

    /// None older than this: 30s, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub(crate) since: Option<Duration>,

    /// Only what this wrote; may be repeated
    #[arg(long, value_enum)]
    pub(crate) source: Vec<LogSource>,

    /// None below this level
    #[arg(long, value_enum)]
    pub(crate) level: Option<LogLevel>,

    /// Begin each line with its time
    #[arg(long)]
    pub(crate) timestamps: bool,
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogSource {
    /// The main process
    Main,
    /// The sandbox's supervisor
    Supervisor,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Everything
    Trace,
    /// What helps whoever looks for a fault
    Debug,
    /// What happens
    Info,
    /// What should not
    Warn,
    /// What failed
    Error,
}

/// `sandbox forward`.
#[derive(Debug, clap::Args)]
pub(crate) struct ForwardArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) which: InsideArg,

    /// Ports: [ADDRESS:]LOCAL:REMOTE, or one number for both; LOCAL 0 is any that is free
    #[arg(required = true, value_name = "[BIND:]LOCAL:REMOTE", value_parser = parse::forward)]
    pub(crate) ports: Vec<Forward>,
}
