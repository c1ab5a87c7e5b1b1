//! Which gateway is meant, and why: a pure function of flags, variables, contexts and what runs here.

use std::path::PathBuf;

use openshell_core::registration::Registration;
use openshell_core::suggest::{nearest, quoted};
use openshell_core::{Environment, paths};

use crate::args::Common;
use crate::contexts::{Context, Store, StoreError};
use crate::endpoint::{Endpoint, NoEndpoint};

/// The variable that names the gateway's socket.
pub(crate) const SOCKET_VARIABLE: &str = "OPENSHELL_GATEWAY_SOCKET";
/// The variable that names the gateway.
pub(crate) const GATEWAY_VARIABLE: &str = "OPENSHELL_GATEWAY";

/// A gateway to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    /// The file of the token that it is shown.
    pub(crate) token: Option<PathBuf>,
    /// The file of the certificates that vouch for it; the system's when there is none.
    pub(crate) ca: Option<PathBuf>,
    /// The files of the client's certificate and key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// The context's or the local gateway's name.
    pub(crate) name: Option<String>,
    /// The context's own workspace.
    pub(crate) workspace: Option<String>,
    /// Why this one.
    pub(crate) chosen: Chosen,
}

/// Why a gateway was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// `--gateway-socket`.
    SocketFlag,
    /// `--gateway`.
    GatewayFlag,
    /// The variable with a socket.
    SocketVariable,
    /// The variable with a gateway.
    GatewayVariable,
    /// `openshell gateway select`.
    Selected,
    /// It runs here, and no other does.
    OnlyOne,
    /// Nothing speaks for any.
    Default,
}

impl Chosen {
    /// In words.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::SocketFlag => "--gateway-socket names it",
            Self::GatewayFlag => "--gateway names it",
            Self::SocketVariable => "OPENSHELL_GATEWAY_SOCKET names it",
            Self::GatewayVariable => "OPENSHELL_GATEWAY names it",
            Self::Selected => "it is the selected gateway",
            Self::OnlyOne => "it is the one gateway that runs here",
            Self::Default => "a gateway listens there by default",
        }
    }

    /// As a word for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::SocketFlag => "--gateway-socket",
            Self::GatewayFlag => "--gateway",
            Self::SocketVariable => SOCKET_VARIABLE,
            Self::GatewayVariable => GATEWAY_VARIABLE,
            Self::Selected => "selected",
            Self::OnlyOne => "running",
            Self::Default => "default",
        }
    }
}

/// Why no gateway can be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    /// There is no default socket here.
    #[error("no gateway is given, and there is no default one")]
    NoDefault(#[source] paths::PathError),
    /// A name that nobody has.
    #[error("there is no gateway `{name}`, which {source_of_name}")]
    Unknown {
        name: String,
        source_of_name: String,
        /// What may have been meant.
        near: Option<String>,
    },
    /// More than one could be meant.
    #[error("several gateways run here, and none is selected: {names}", names = quoted(names))]
    Several { names: Vec<String> },
    /// What is kept of it names no endpoint.
    #[error("cannot reach the gateway `{name}`")]
    Endpoint {
        name: String,
        #[source]
        source: NoEndpoint,
    },
    /// What was given is no endpoint.
    #[error("wrong endpoint")]
    Given(#[source] NoEndpoint),
    /// The contexts cannot be read.
    #[error("cannot look the gateway up")]
    Store(#[source] StoreError),
    /// The token would go in clear over a network.
    #[error("the token for `{endpoint}` would go over the network in clear")]
    Exposed { endpoint: Endpoint },
}

impl TargetError {
    /// What to do.
    pub(crate) fn hints(&self) -> Vec<String> {
        match self {
            Self::NoDefault(_) => vec!["openshell --gateway-socket /path/to/gateway.sock status".to_owned()],
            Self::Unknown { near, .. } => near
                .iter()
                .map(|near| format!("did you mean `{near}`?"))
                .chain(["see which there are: openshell gateway list".to_owned()])
                .collect(),
            Self::Several { names } => {
                vec![format!(
                    "name one: openshell --gateway {} status",
                    names.first().map_or("NAME", |name| name)
                )]
            }
            Self::Endpoint { name, .. } => vec![format!(
                "add it anew: openshell gateway remove {name}; openshell gateway add {name} --endpoint …"
            )],
            Self::Given(_) => vec!["openshell --gateway unix:///path/to/gateway.sock status".to_owned()],
            Self::Exposed { .. } => vec![
                "use TLS: https://HOST:PORT; `openshell-gateway generate-certs` makes certificates"
                    .to_owned(),
                "or forward the port, and use http://127.0.0.1:PORT: ssh -L 17670:127.0.0.1:17670 HOST"
                    .to_owned(),
            ],
            Self::Store(_) => Vec::new(),
        }
    }
}

/// Finds the gateway that is meant. `running` are the gateways of this user that run here.
pub(crate) fn find(
    common: &Common,
    env: &Environment,
    running: impl FnOnce() -> Vec<Registration>,
) -> Result<Target, TargetError> {
    let socket = |path: &std::ffi::OsStr, chosen| Target::bare(Endpoint::Unix(PathBuf::from(path)), chosen);
    let target = if let Some(path) = common.gateway_socket.as_deref().filter(|path| !path.is_empty()) {
        socket(path, Chosen::SocketFlag)
    } else if let Some(given) = common.gateway.as_deref().filter(|given| !given.is_empty()) {
        named(given, Chosen::GatewayFlag, env, running)?
    } else if let Some(path) = env.raw(SOCKET_VARIABLE) {
        socket(path, Chosen::SocketVariable)
    } else if let Some(given) = env.raw(GATEWAY_VARIABLE) {
        named(&given.to_string_lossy(), Chosen::GatewayVariable, env, running)?
    } else if let Some(name) = selected(env)? {
        named(&name, Chosen::Selected, env, running)?
    } else {
        unnamed(env, running())?
    };
    if target.token.is_some() && target.endpoint.is_exposed() {
        return Err(TargetError::Exposed { endpoint: target.endpoint });
    }
    Ok(target)
}

/// The selected context; somebody without a configuration directory has none.
fn selected(env: &Environment) -> Result<Option<String>, TargetError> {
    match Store::of(env) {
        Ok(store) => store.active().map_err(TargetError::Store),
        Err(_) => Ok(None),
    }
}

/// The one that runs here, or where one listens by default.
fn unnamed(env: &Environment, running: Vec<Registration>) -> Result<Target, TargetError> {
    match running.as_slice() {
        [] => {
            let path = paths::runtime_dir(env).map_err(TargetError::NoDefault)?.join(paths::SOCKET);
            Ok(Target::bare(Endpoint::Unix(path), Chosen::Default))
        }
        [one] => Ok(Target::local(one, Chosen::OnlyOne)),
        several => {
            Err(TargetError::Several { names: several.iter().map(|one| one.gateway_id.clone()).collect() })
        }
    }
}

/// What a word means: an endpoint, a context, or a gateway that runs here.
fn named(
    given: &str,
    chosen: Chosen,
    env: &Environment,
    running: impl FnOnce() -> Vec<Registration>,
) -> Result<Target, TargetError> {
    if given.contains("://") || given.starts_with("unix:") {
        let endpoint: Endpoint = given.parse().map_err(TargetError::Given)?;
        let mut target = Target::bare(endpoint.clone(), chosen);
        // The token of a gateway that runs here is at hand, and its certificate's issuer, too.
        let is_it = |one: &Registration| {
            one.endpoint.as_deref().and_then(|text| text.parse().ok()).as_ref() == Some(&endpoint)
        };
        if endpoint.socket().is_none()
            && let Some(one) = running().into_iter().find(is_it)
        {
            target.name = Some(one.gateway_id);
            target.token = one.token_path;
            target.ca = one.ca_path;
        }
        return Ok(target);
    }
    let store = Store::of(env).map_err(TargetError::Store)?;
    match store.load(given) {
        Ok(context) => Target::context(&context, chosen),
        Err(StoreError::Absent { .. } | StoreError::BadName { .. }) => {
            let running = running();
            if let Some(one) = running.iter().find(|one| one.gateway_id == given) {
                return Ok(Target::local(one, chosen));
            }
            let mut names = store.names().unwrap_or_default();
            names.extend(running.into_iter().map(|one| one.gateway_id));
            let near = nearest(given, names.iter().map(String::as_str)).map(str::to_owned);
            let source_of_name = match chosen {
                Chosen::Selected => format!("`{}` names", store.active_path().display()),
                chosen => format!("{} names", chosen.word()),
            };
            Err(TargetError::Unknown { name: crate::text::clean(given), source_of_name, near })
        }
        Err(error) => Err(TargetError::Store(error)),
    }
}

impl Target {
    fn bare(endpoint: Endpoint, chosen: Chosen) -> Self {
        Self { endpoint, token: None, ca: None, identity: None, name: None, workspace: None, chosen }
    }

    /// A gateway of this user on this machine is dialled on its Unix socket, which asks for no token.
    fn local(one: &Registration, chosen: Chosen) -> Self {
        Self { name: Some(one.gateway_id.clone()), ..Self::bare(Endpoint::Unix(one.socket.clone()), chosen) }
    }

    /// What is kept of a gateway, as a gateway to dial.
    pub(crate) fn context(context: &Context, chosen: Chosen) -> Result<Self, TargetError> {
        let endpoint = context
            .endpoint()
            .map_err(|source| TargetError::Endpoint { name: context.name.clone(), source })?;
        Ok(Self {
            token: context.token(),
            ca: context.ca(),
            identity: context.identity(),
            name: Some(context.name.clone()),
            workspace: context.metadata.workspace.clone(),
            ..Self::bare(endpoint, chosen)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn running(id: &str, endpoint: Option<&str>) -> Registration {
        Registration {
            gateway_id: id.to_owned(),
            pid: 1,
            version: "0.1.0".to_owned(),
            driver: "any".to_owned(),
            socket: format!("/run/{id}.sock").into(),
            endpoint: endpoint.map(str::to_owned),
            token_path: endpoint.map(|_| format!("/state/{id}/token").into()),
            ca_path: None,
        }
    }

    fn meant(gateway: Option<&str>, here: &[Registration]) -> Result<Target, TargetError> {
        // Nobody's home: no context, and nothing selected.
        let env = Environment::new([("XDG_CONFIG_HOME", "/absent"), ("XDG_RUNTIME_DIR", "/run/user/7")], 7);
        let common = Common::bare(gateway.map(str::to_owned), None, Duration::from_secs(1));
        find(&common, &env, || here.to_vec())
    }

    #[test]
    fn without_a_word_it_is_the_one_that_runs_here() {
        let (a, b) = (running("a", None), running("b", None));
        let none = meant(None, &[]).unwrap();
        assert_eq!(none.endpoint.to_string(), "unix:///run/user/7/openshell/gateway.sock");
        assert_eq!(none.chosen, Chosen::Default);
        let one = meant(None, std::slice::from_ref(&a)).unwrap();
        assert_eq!((one.endpoint.to_string().as_str(), one.chosen), ("unix:///run/a.sock", Chosen::OnlyOne));
        let several = meant(None, &[a.clone(), b.clone()]).unwrap_err();
        assert_eq!(several.to_string(), "several gateways run here, and none is selected: `a`, `b`");
        let named = meant(Some("b"), &[a, b]).unwrap();
        assert_eq!(
            (named.endpoint.to_string().as_str(), named.chosen),
            ("unix:///run/b.sock", Chosen::GatewayFlag)
        );
    }

    #[test]
    fn the_endpoint_of_a_gateway_that_runs_here_brings_its_token() {
        let here = [running("a", Some("http://127.0.0.1:17670"))];
        let mine = meant(Some("http://127.0.0.1:17670"), &here).unwrap();
        assert_eq!(mine.token, Some("/state/a/token".into()));
        let other = meant(Some("http://127.0.0.1:17671"), &here).unwrap();
        assert_eq!((other.token, other.name), (None, None));
        // Wherever the token comes from, it does not leave this machine in clear.
        let here = [running("a", Some("http://192.0.2.1:17670"))];
        assert!(matches!(meant(Some("http://192.0.2.1:17670"), &here), Err(TargetError::Exposed { .. })));
    }

    #[test]
    fn somebody_without_directories_is_told_what_to_give() {
        let bare = Environment::new([("HOME", "/home/u")], 7);
        let common = Common::bare(None, None, Duration::from_secs(1));
        let error = find(&common, &bare, Vec::new).unwrap_err();
        assert!(matches!(error, TargetError::NoDefault(_)) && !error.hints().is_empty());
    }
}
