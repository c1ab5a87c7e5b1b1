//! `openshell-gateway token`: the gateway's own token, shown, found and replaced.

use clap::Subcommand;
use openshell_core::catalog::Catalog;
use openshell_core::{Environment, GatewayArgs, Settings, paths};
use openshell_front::token;

use crate::error::StartError;

/// What to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum Action {
    /// Replace it; a gateway that runs takes the new one at the next request, and refuses the old one
    Rotate,
    /// Print where it is
    Path,
    /// Print it
    Show,
}

/// Does it, and gives what to print.
///
/// # Errors
/// When the configuration is faulty, or the file cannot be read or written.
pub(crate) fn run(
    action: Action,
    catalog: &Catalog,
    args: &GatewayArgs,
    env: &Environment,
) -> Result<String, StartError> {
    let settings = Settings::load(args, env, catalog)?;
    let path = &settings.front.token_path;
    match action {
        Action::Path => Ok(format!("{}\n", path.display())),
        Action::Show => Ok(format!("{}\n", token::read(path)?.expose())),
        Action::Rotate => {
            if path.starts_with(&settings.state_dir) {
                paths::ensure_private(&settings.state_dir, env.uid())?;
            }
            token::rotate(path)?;
            Ok(format!("a new token is in {}; the old one is refused from now on\n", path.display()))
        }
    }
}
