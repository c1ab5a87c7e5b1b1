//! `openshell-gateway generate-certs`: a CA, the gateway's certificate and its clients', and what to do with them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use openshell_front::certs::{self, Made, Request};

use crate::error::StartError;

/// Where they go and whom they are for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder for all of it; a CA that is there signs again
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// A name or an address that clients reach the gateway by; may be given again
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    /// A client to make a certificate for, with this DNS name; may be given again
    #[arg(long = "client", value_name = "NAME")]
    clients: Vec<String>,

    /// How many days they are valid
    #[arg(long, value_name = "N", default_value_t = 365)]
    days: u32,

    /// Make the certificates of this run anew where they are there
    #[arg(long)]
    force: bool,
}

/// Makes them, and gives what to print.
///
/// # Errors
/// When a name cannot be one, or a file cannot be written.
pub(crate) fn run(args: Args) -> Result<String, StartError> {
    // What goes into gateway.toml has to be absolute.
    let dir = std::path::absolute(&args.dir)
        .map_err(|source| StartError::Io { action: "find the working directory", source })?;
    let Args { hosts, clients, days, force, .. } = args;
    let host = hosts.first().cloned();
    let made = certs::generate(&Request { dir, hosts, clients, days, force })?;
    Ok(report(&made, host.as_deref().unwrap_or("localhost")))
}

/// What was made, what goes into gateway.toml, and what a client does with it.
fn report(made: &Made, host: &str) -> String {
    let mut out = String::new();
    for path in &made.written {
        let _ = writeln!(out, "made {}", path.display());
    }
    for path in &made.kept {
        let _ = writeln!(out, "kept {}", path.display());
    }
    let _ = write!(
        out,
        "\nin gateway.toml:\n\n[openshell.gateway.tls]\ncert_path = {}\nkey_path = {}\nclient_ca_path = {}\n",
        quoted(&made.cert),
        quoted(&made.key),
        quoted(&made.ca),
    );
    for (name, _) in &made.clients {
        let table = toml_key(name);
        let _ = write!(
            out,
            "\n[openshell.gateway.identities.{table}]\nrole = \"use\"\ncertificate_name = \"{name}\"\n"
        );
    }
    let port = openshell_core::settings::PORT;
    for (name, dir) in &made.clients {
        let _ = write!(
            out,
            "\nas `{name}`, from any host that has a copy of {dir}:\n\n  curl --http2 --cacert ca.crt --cert tls.crt --key tls.key \
             https://{host}:{port}/healthz\n",
            dir = dir.display(),
        );
    }
    out
}

/// A path as TOML has it.
fn quoted(path: &Path) -> String {
    // What JSON escapes, TOML's basic strings escape the same.
    format!("{:?}", path.display().to_string())
}

/// A name as a key of TOML.
fn toml_key(name: &str) -> String {
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { name.to_owned() } else { format!("{name:?}") }
}
