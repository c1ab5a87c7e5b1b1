//! The commands on workspaces.

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use clap_complete::ArgValueCompleter;

use crate::{complete, parse};

/// The commands on workspaces.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// Make a workspace and print its name
    Create {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// A label, which selectors match; may be repeated
        #[arg(long, short, value_name = "KEY=VALUE", value_parser = parse::pair)]
        label: Vec<(String, String)>,
    },
    /// List workspaces
    #[command(visible_alias = "ls")]
    List {
        /// Only workspaces with these labels: k=v,k2!=v2,k3
        #[arg(long, short = 'l', default_value = "", hide_default_value = true)]
        selector: String,
    },
    /// Show one workspace
    Get {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new(), add = ArgValueCompleter::new(complete::workspaces))]
        name: String,
    },
    /// Remove workspaces that hold no sandbox
    #[command(visible_alias = "rm")]
    Delete {
        /// Their names
        #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(),
              add = ArgValueCompleter::new(complete::workspaces))]
        names: Vec<String>,
    },
}
