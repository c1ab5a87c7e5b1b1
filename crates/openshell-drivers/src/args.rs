//! The command line that all driver programs share.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches as _};

/// Flags of a driver program.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DriverArgs {
    /// The Unix socket to serve on; its directory is made 0700 if it is missing, the socket is 0600
    #[arg(long, value_name = "PATH", required_unless_present = "check_config")]
    pub(crate) bind_socket: Option<PathBuf>,

    /// The gateway's configuration file, for this driver's table in it [variable: OPENSHELL_GATEWAY_CONFIG]
    /// [default: $XDG_CONFIG_HOME/openshell/gateway.toml]
    #[arg(long, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,

    /// The id of the gateway that this driver works for [variable: OPENSHELL_GATEWAY_ID] [default: the one that the
    /// gateway of this user made]
    #[arg(long, value_name = "ID")]
    pub(crate) gateway_id: Option<String>,

    /// Also let this user id connect; may be given again. The socket is then 0666, and the kernel's word decides
    #[arg(long = "allow-uid", value_name = "UID")]
    pub(crate) allow_uids: Vec<u32>,

    /// Also let this group id connect; may be given again
    #[arg(long = "allow-gid", value_name = "GID")]
    pub(crate) allow_gids: Vec<u32>,

    /// The process that started this program, a gateway: it alone may connect, and the program ends when its standard input
    /// does, which that gateway holds open
    #[arg(long, value_name = "PID", requires = "bind_socket", conflicts_with_all = ["allow_uids", "allow_gids"])]
    pub(crate) launched_by: Option<i32>,

    /// The supervisor's program on this host, which the driver puts into its sandboxes; the gateway that starts this program says
    /// so
    #[arg(long, value_name = "PATH", requires_all = ["sandbox_sockets", "launched_by"])]
    pub(crate) supervisor: Option<PathBuf>,

    /// The directory with a directory for each sandbox, in which that gateway's socket for it is
    #[arg(long, value_name = "PATH", requires = "supervisor")]
    pub(crate) sandbox_sockets: Option<PathBuf>,

    /// The directory for what the driver keeps [default: drivers/NAME in the state directory of this user's gateway]
    #[arg(long, value_name = "PATH")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Read the configuration, say what is wrong with it, and do nothing else
    #[arg(long)]
    pub(crate) check_config: bool,

    /// How much is logged: error, warn, info, debug or trace [variable: OPENSHELL_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,

    /// How it is written: text or json [variable: OPENSHELL_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

impl DriverArgs {
    /// The command line of the driver `name`, whose program is called `program`.
    pub(crate) fn command(
        program: &'static str,
        name: &str,
        summary: &str,
        version: &'static str,
    ) -> Command {
        let about = format!("The compute driver `{name}` ({summary}), behind a Unix socket");
        // After the flags, whose struct has a text of its own.
        Self::augment_args(Command::new(program).version(version)).about(about).long_about(None)
    }

    /// What was given. Usage errors, `--help` and `--version` end the program here.
    pub(crate) fn of(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches(matches)
    }
}
