//! What of a request the operator allows, question by question, alike for every engine: pure.

use std::path::{Path, PathBuf};

use openshell_driver_api::{DriverContext, SandboxRequest};
use serde_json::Value;

use super::asked::Asked;
use super::binds::Protected;
use super::image;
use super::names::Scope;
use super::values::Network;
use crate::config::did_you_mean;
use crate::faults::Faults;

/// The settings that requests are held against.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    /// The driver, as its table is called.
    pub driver: &'static str,
    /// The image of a sandbox that names none; may be empty.
    pub default_image: &'a str,
    /// What a sandbox can reach.
    pub network: &'a Network,
    /// Networks that a request may name instead.
    pub networks: &'a [String],
    /// Everybody's user.
    pub user: Option<&'a str>,
    /// How many processes and threads a sandbox may have.
    pub pids_limit: i64,
    /// OCI runtimes that a request may name.
    pub runtimes: &'a [String],
}

impl Allowed<'_> {
    /// The image, the default filled in; and what of the rest of a request no engine could do.
    pub fn words(&self, request: &SandboxRequest, scope: &Scope, faults: &mut Faults) -> String {
        let spec = &request.spec;
        if !scope.fits(&request.id) {
            faults.add("the sandbox id is too long for the name of a container");
        }
        let named = spec.template.image.as_str();
        let reference = if named.is_empty() { self.default_image } else { named };
        if reference.is_empty() {
            faults.add(format!(
                "no image is named: name one (`openshell sandbox create --image IMAGE`), or set `default_image` in \
                 `{}`",
                self.table()
            ));
        } else if let Err(problem) = image::check(reference) {
            faults.add(format!("image: `{reference}` {problem}"));
        }
        if spec.command.first().is_some_and(String::is_empty) {
            faults.add("command: the program's name is empty");
        }
        if spec.command.iter().any(|word| word.contains('\0')) {
            faults.add("command: a word holds a NUL");
        }
        if !spec.template.agent_socket_path.is_empty() {
            faults.add(format!("agent_socket: the {} driver puts no socket into a sandbox", self.driver));
        }
        reference.to_owned()
    }

    /// What is asked of any platform: an OCI runtime, which is judged by `runtime` once the operator allows it, and what is
    /// true already. `mapped` says whether sandboxes are given a user namespace; `get` and `leave` say why one that is wanted, and
    /// one that is not, cannot be had.
    pub fn platform(
        &self,
        request: &SandboxRequest,
        mapped: bool,
        [get, leave]: [&str; 2],
        mut runtime: impl FnMut(&str) -> Result<(), String>,
        faults: &mut Faults,
    ) {
        for (key, value) in &request.spec.template.platform_config {
            let result = match (key.as_str(), value) {
                ("runtime_class_name", Value::String(name)) => {
                    self.runtime(name).and_then(|()| runtime(name))
                }
                ("user_namespaces", Value::Bool(wanted)) if *wanted == mapped => Ok(()),
                ("user_namespaces", Value::Bool(true)) => Err(get.to_owned()),
                ("user_namespaces", Value::Bool(false)) => Err(leave.to_owned()),
                ("annotations", _) => {
                    Err("an engine hands them to its runtime as settings; use labels".to_owned())
                }
                ("runtime_class_name" | "user_namespaces", _) => Err("it is of the wrong type".to_owned()),
                _ => Err(format!(
                    "the {} driver reads no such key; {}",
                    self.driver,
                    did_you_mean(key, &["runtime_class_name", "user_namespaces"])
                )),
            };
            faults.about(&format!("platform_config.{}", key.escape_debug()), result);
        }
    }

    fn runtime(&self, name: &str) -> Result<(), String> {
        if self.runtimes.iter().any(|allowed| allowed == name) {
            return Ok(());
        }
        Err(format!("`{}` is not in `runtimes` of `{}`", name.escape_debug(), self.table()))
    }

    /// Less than the operator's network is always allowed, another one when it is listed.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn network(&self, asked: &Asked) -> Result<Network, String> {
        match asked.network.as_deref() {
            None => Ok(self.network.clone()),
            Some("none") => Ok(Network::None),
            Some("own") if *self.network == Network::Own => Ok(Network::Own),
            Some(name) if *self.network == Network::Named(name.to_owned()) => Ok(self.network.clone()),
            Some(name) if self.networks.iter().any(|allowed| allowed == name) => {
                Ok(Network::Named(name.to_owned()))
            }
            Some(name) => Err(format!(
                "`{}` is neither `none`, nor the configured network, nor one of `networks` of `{}`",
                name.escape_debug(),
                self.table()
            )),
        }
    }

    /// The operator's user is everybody's; where there is none, a request may name its own.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn user(&self, asked: &Asked) -> Result<Option<String>, String> {
        match (asked.user.as_deref(), self.user) {
            (Some(wanted), Some(set)) if wanted != set => {
                Err(format!("`user` of `{}` is `{set}`, for every sandbox", self.table()))
            }
            (wanted, set) => Ok(set.or(wanted).map(str::to_owned)),
        }
    }

    /// A request lowers the operator's limit and never raises it.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn pids_limit(&self, asked: &Asked) -> Result<i64, String> {
        match asked.pids_limit {
            Some(limit) if limit > self.pids_limit => {
                Err(format!("`{limit}` is above `pids_limit` of `{}`, {}", self.table(), self.pids_limit))
            }
            limit => Ok(limit.unwrap_or(self.pids_limit)),
        }
    }

    fn table(&self) -> String {
        format!("[openshell.drivers.{}]", self.driver)
    }
}

/// What a directory or a file of the user's own environment is called.
#[must_use]
pub fn from_environment(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// What is below the user's own directory.
#[must_use]
pub fn at_home(below: &str) -> Option<PathBuf> {
    Some(from_environment("HOME")?.join(below))
}

/// Where the user's own settings are.
#[must_use]
pub fn settings() -> Option<PathBuf> {
    from_environment("XDG_CONFIG_HOME").or_else(|| at_home(".config"))
}

/// What no mount may touch: the gateway's state and settings, credentials of registries and gateways, every directory of
/// sockets, and `more`: what the engine keeps.
pub fn protected(context: &DriverContext, more: impl IntoIterator<Item = Option<PathBuf>>) -> Protected {
    // A driver's directory is `drivers/<name>` in the gateway's.
    let state = context.state_dir.ancestors().nth(2).filter(|state| state.parent().is_some());
    let paths = [
        state.map(Path::to_owned),
        Some(context.state_dir.clone()),
        from_environment("XDG_RUNTIME_DIR"),
        settings().map(|settings| settings.join("openshell")),
        from_environment("DOCKER_CONFIG").or_else(|| at_home(".docker")),
        Some("/run".into()),
        Some("/var/run".into()),
    ];
    Protected::new(paths.into_iter().chain(more).flatten())
}
