//! The command line of a gateway, and the names of the variables beside it.
//!
//! Clap does not read the variables: where a value came from decides the selection of the driver, and reading them
//! from an [`Environment`](crate::Environment) keeps [`Settings`](crate::Settings) a function of its inputs. Values are texts here and
//! are checked there, so that a wrong flag, a wrong variable and a wrong line of `gateway.toml` are reported alike,
//! all in one run.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// Where `gateway.toml` is.
pub const ENV_CONFIG: &str = "OPENSHELL_GATEWAY_CONFIG";
/// The driver to run.
pub const ENV_DRIVERS: &str = "OPENSHELL_DRIVERS";
/// The socket of an out-of-tree driver.
pub const ENV_DRIVER_SOCKET: &str = "OPENSHELL_COMPUTE_DRIVER_SOCKET";
/// The address of the TCP listener.
pub const ENV_BIND_ADDRESS: &str = "OPENSHELL_BIND_ADDRESS";
/// The port of the TCP listener.
pub const ENV_PORT: &str = "OPENSHELL_SERVER_PORT";
/// Whether there is a TCP listener.
pub const ENV_TCP: &str = "OPENSHELL_TCP";
/// Whether whoever reaches the TCP listener may do everything.
pub const ENV_ALLOW_UNAUTHENTICATED: &str = "OPENSHELL_ALLOW_UNAUTHENTICATED";
/// The address of the listener of health and metrics.
pub const ENV_HEALTH_ADDRESS: &str = "OPENSHELL_HEALTH_ADDRESS";
/// The address of the listener for sandboxes on other hosts.
pub const ENV_SANDBOX_BIND_ADDRESS: &str = "OPENSHELL_SANDBOX_BIND_ADDRESS";
/// What these sandboxes dial.
pub const ENV_SANDBOX_ENDPOINT: &str = "OPENSHELL_SANDBOX_ENDPOINT";
/// The gateway's own Unix socket.
pub const ENV_LISTEN_SOCKET: &str = "OPENSHELL_LISTEN_SOCKET";
/// The database.
pub const ENV_DB_URL: &str = "OPENSHELL_DB_URL";
/// The gateway's id.
pub const ENV_GATEWAY_ID: &str = "OPENSHELL_GATEWAY_ID";
/// The supervisor's program, which is put into sandboxes.
pub const ENV_SUPERVISOR_PATH: &str = "OPENSHELL_SUPERVISOR_PATH";
/// How much is logged.
pub const ENV_LOG_LEVEL: &str = "OPENSHELL_LOG_LEVEL";
/// How it is written.
pub const ENV_LOG_FORMAT: &str = "OPENSHELL_LOG_FORMAT";

/// Flags of the gateway. Every one of them also has a variable, and all but `--config` and `--db-url` a key in
/// `gateway.toml`; the first of flag, variable and key counts.
#[derive(Debug, Clone, Default, Args)]
pub struct GatewayArgs {
    /// The configuration file [variable: OPENSHELL_GATEWAY_CONFIG] [default: $XDG_CONFIG_HOME/openshell/gateway.toml]
    #[arg(long, value_name = "PATH", global = true)]
    pub config: Option<PathBuf>,

    /// The compute driver to run: a name, or `external:PATH` [variable: OPENSHELL_DRIVERS] [default: detected]
    #[arg(long, value_name = "NAME", value_delimiter = ',', global = true, help_heading = "Driver")]
    pub drivers: Option<Vec<String>>,

    /// The socket of an out-of-tree compute driver [variable: OPENSHELL_COMPUTE_DRIVER_SOCKET]
    #[arg(long, value_name = "PATH", global = true, help_heading = "Driver")]
    pub compute_driver_socket: Option<PathBuf>,

    /// The gateway's Unix socket [variable: OPENSHELL_LISTEN_SOCKET] [default: $XDG_RUNTIME_DIR/openshell/gateway.sock]
    #[arg(long, value_name = "PATH", global = true, help_heading = "Listeners")]
    pub listen_socket: Option<PathBuf>,

    /// Listen on the Unix socket alone [variable: OPENSHELL_TCP=false]
    #[arg(long, global = true, help_heading = "Listeners")]
    pub no_tcp: bool,

    /// The address of the TCP listener; beyond loopback only with TLS [variable: OPENSHELL_BIND_ADDRESS] [default: 127.0.0.1]
    #[arg(long, value_name = "IP", global = true, help_heading = "Listeners")]
    pub bind_address: Option<String>,

    /// The port of the TCP listener, 0 for any free one [variable: OPENSHELL_SERVER_PORT] [default: 17670]
    #[arg(long, value_name = "PORT", global = true, help_heading = "Listeners")]
    pub port: Option<String>,

    /// Ask nobody on the TCP listener who they are; loopback only [variable: OPENSHELL_ALLOW_UNAUTHENTICATED]
    #[arg(long, global = true, help_heading = "Listeners")]
    pub allow_unauthenticated: bool,

    /// Also serve /healthz, /readyz and /metrics here, in plain HTTP [variable: OPENSHELL_HEALTH_ADDRESS]
    #[arg(long, value_name = "IP:PORT", global = true, help_heading = "Listeners")]
    pub health_address: Option<String>,

    /// Where sandboxes on other hosts reach the gateway, over TLS [variable: OPENSHELL_SANDBOX_BIND_ADDRESS] [default: nowhere]
    #[arg(long, value_name = "IP:PORT", global = true, help_heading = "Listeners")]
    pub sandbox_bind_address: Option<String>,

    /// What they dial, `https://HOST:PORT` [variable: OPENSHELL_SANDBOX_ENDPOINT] [default: that address]
    #[arg(long, value_name = "URL", global = true, help_heading = "Listeners")]
    pub sandbox_endpoint: Option<String>,

    /// The database, `sqlite:PATH` [variable: OPENSHELL_DB_URL] [default: under $XDG_STATE_HOME/openshell/gateway/]
    #[arg(long, value_name = "URL", global = true, help_heading = "State")]
    pub db_url: Option<OsString>,

    /// The id on everything that this gateway makes [variable: OPENSHELL_GATEWAY_ID] [default: made once, kept]
    #[arg(long, value_name = "ID", global = true, help_heading = "State")]
    pub gateway_id: Option<String>,

    /// How much is logged: error, warn, info, debug or trace [variable: OPENSHELL_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL", global = true, help_heading = "Log")]
    pub log_level: Option<String>,

    /// How it is written: text or json [variable: OPENSHELL_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT", global = true, help_heading = "Log")]
    pub log_format: Option<String>,
}
