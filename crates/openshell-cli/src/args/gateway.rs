//! The commands on gateways' contexts.

use std::path::PathBuf;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;

use crate::complete;

/// The commands on gateways' contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// List the gateways that have a name, and those that run here
    #[command(visible_alias = "ls")]
    List,
    /// Give a gateway a name, and keep how it is reached
    Add(AddArgs),
    /// Use this gateway from now on
    Select(SelectArgs),
    /// Show how a gateway is reached [default: the one that would be used]
    Show {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::contexts))]
        name: Option<String>,
    },
    /// Forget a gateway, its token and its keys
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
}

/// `gateway add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// Its name: letters, digits, `-`, `_` and `.`
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,

    /// Where it listens: unix:///PATH, http://127.0.0.1:PORT or https://HOST:PORT
    #[arg(long, value_name = "ENDPOINT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) endpoint: String,

    /// The file with its bearer token, which is copied
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Read its bearer token from standard input
    #[arg(long, conflicts_with = "token_file")]
    pub(crate) token_stdin: bool,

    /// The certificates that vouch for it (PEM), which are copied [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Your certificate for it (PEM), which is copied
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["token_file", "token_stdin"])]
    pub(crate) cert: Option<PathBuf>,

    /// The key of that certificate (PEM), which is copied
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Its workspace for commands that name none
    #[arg(long, short = 'W', value_parser = NonEmptyStringValueParser::new())]
    pub(crate) workspace: Option<String>,

    /// Use it from now on
    #[arg(long)]
    pub(crate) select: bool,
}

/// `gateway select`.
#[derive(Debug, clap::Args)]
pub(crate) struct SelectArgs {
    /// Its name
    #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::contexts))]
    pub(crate) name: String,

    /// The workspace for commands that name none; empty: the default one again
    #[arg(long, short = 'W', add = ArgValueCompleter::new(complete::workspaces))]
    pub(crate) workspace: Option<String>,
}
