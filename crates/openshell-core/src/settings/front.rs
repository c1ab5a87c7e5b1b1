//! Who may talk to the gateway: which listeners there are and how one proves who one is, with every combination refused
//! that would let somebody in by accident.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::{Merge, Sourced};
use crate::cli::{self, GatewayArgs};
use crate::config::{
    GatewaySection, IdentitySettings, LimitSettings, Location, Placed, Problem, TlsSettings, value,
};
use crate::paths;
use crate::suggest;

/// The port unless told otherwise.
pub const PORT: u16 = 17670;

/// What makes a certificate for somebody who has none.
const CERTIFICATES: &str = "openshell-gateway generate-certs --dir DIR --host NAME";

/// Who may talk to the gateway, apart from its own user on its Unix socket.
#[derive(Debug, Clone)]
pub struct FrontSettings {
    /// The TCP listener; `None`: the Unix socket is all there is.
    pub tcp: Option<TcpSettings>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served besides, in plain HTTP and with no authentication.
    pub health_address: Option<SocketAddr>,
    /// The file of the gateway's own token.
    pub token_path: PathBuf,
    /// Whoever reaches the TCP listener may do everything. Then it is on loopback, and there are no identities.
    pub allow_unauthenticated: bool,
    /// How much anybody may ask for.
    pub limits: LimitSettings,
    /// Who may do what besides the gateway's own user.
    pub identities: Vec<IdentitySettings>,
}

/// The TCP listener.
#[derive(Debug, Clone)]
pub struct TcpSettings {
    /// Where it is; port 0 is any free one.
    pub address: SocketAddr,
    /// Its certificate; always there when the address is not loopback.
    pub tls: Option<TlsSettings>,
}

impl FrontSettings {
    /// Whether the gateway has a token of its own: whoever gets a TCP connection may show it.
    #[must_use]
    pub fn takes_tokens(&self) -> bool {
        self.tcp.is_some() && !self.allow_unauthenticated
    }

    /// The users besides the gateway's own and root that may connect to the Unix socket.
    #[must_use]
    pub fn uids(&self) -> Vec<u32> {
        self.identities.iter().flat_map(|identity| identity.uids.iter().copied()).collect()
    }
}

/// How one gets in by the TCP listener.
impl fmt::Display for FrontSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.allow_unauthenticated {
            return f.write_str("no authentication");
        }
        let clients = self.tcp.as_ref().and_then(|tcp| tcp.tls.as_ref()).and_then(|tls| tls.clients.as_ref());
        match clients {
            None => f.write_str("a token"),
            Some(clients) if clients.required => f.write_str("a client certificate"),
            Some(_) => f.write_str("a client certificate or a token"),
        }
    }
}

/// Where a setting came from, for its faults.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A flag or a variable, by its name.
    Named(&'static str),
    /// A key of the file, by its name and place.
    File(&'static str, Location),
    /// Nobody said anything.
    Default(&'static str),
}

impl Origin {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Named(name) | Self::File(name, _) | Self::Default(name) => name,
        }
    }

    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        match self {
            Self::File(_, at) => Problem::at(at.clone(), message),
            Self::Named(_) | Self::Default(_) => Problem::new(message),
        }
    }
}

/// A key of the file with its place.
pub(super) fn in_file<T: Clone>(key: &'static str, placed: Option<&Placed<T>>) -> Option<Sourced<T>> {
    placed.map(|placed| (placed.value.clone(), Origin::File(key, placed.at.clone())))
}

impl Merge<'_> {
    /// Flags, variables and file, and what they add up to. `state_dir` is where the token is unless told otherwise.
    pub(super) fn front(
        &mut self,
        args: &GatewayArgs,
        file: &GatewaySection,
        state_dir: &std::path::Path,
    ) -> (FrontSettings, Vec<Problem>) {
        let bind = self
            .sourced(
                "--bind-address",
                args.bind_address.as_deref(),
                cli::ENV_BIND_ADDRESS,
                value::bind_address,
            )
            .or_else(|| in_file("bind_address", file.bind_address.as_ref()))
            .unwrap_or((IpAddr::V4(Ipv4Addr::LOCALHOST), Origin::Default("--bind-address")));
        let port = self
            .sourced("--port", args.port.as_deref(), cli::ENV_PORT, value::port)
            .or_else(|| in_file("port", file.port.as_ref()))
            .unwrap_or((PORT, Origin::Default("--port")));
        let health = self
            .sourced(
                "--health-address",
                args.health_address.as_deref(),
                cli::ENV_HEALTH_ADDRESS,
                value::socket_address,
            )
            .or_else(|| in_file("health_address", file.health_address.as_ref()));
        let unauthenticated = args
            .allow_unauthenticated
            .then_some((true, Origin::Named("--allow-unauthenticated")))
            .or_else(|| self.variable_as(cli::ENV_ALLOW_UNAUTHENTICATED, value::switch))
            .or_else(|| in_file("allow_unauthenticated", file.allow_unauthenticated.as_ref()))
            .filter(|(allowed, _)| *allowed)
            .map(|(_, origin)| origin);
        let tcp = if args.no_tcp {
            Some(false)
        } else {
            self.variable_as(cli::ENV_TCP, value::switch).map(|on| on.0)
        };
        let tcp = tcp.or(file.tcp).unwrap_or(true);

        let front = FrontSettings {
            tcp: tcp.then(|| TcpSettings {
                address: SocketAddr::new(bind.0, port.0),
                tls: file.tls.as_ref().map(|tls| tls.value.clone()),
            }),
            health_address: health.as_ref().map(|(address, _)| *address),
            token_path: file.token_path.clone().unwrap_or_else(|| state_dir.join(paths::TOKEN)),
            allow_unauthenticated: unauthenticated.is_some(),
            limits: file.limits,
            identities: file.identities.clone(),
        };
        let mut asked =
            Asked { front: &front, file, bind, port, health, unauthenticated, uid: self.env.uid() };
        // What a file that could not be read would have said of TLS and identities, nobody knows.
        if !self.file_failed {
            self.problems.extend(asked.problems());
        }
        let warnings = asked.warnings();
        (front, warnings)
    }
}

/// What was asked for and by whom, to be judged as a whole.
struct Asked<'a> {
    front: &'a FrontSettings,
    file: &'a GatewaySection,
    bind: Sourced<IpAddr>,
    port: Sourced<u16>,
    health: Option<Sourced<SocketAddr>>,
    unauthenticated: Option<Origin>,
    uid: u32,
}

impl Asked<'_> {
    /// Everything that would let somebody in who was not meant to come in.
    fn problems(&mut self) -> Vec<Problem> {
        let mut problems = self.of_identities();
        let Some(tcp) = &self.front.tcp else { return problems };
        let beyond = !is_loopback(tcp.address.ip());
        let (bind, at) = (&self.bind.1, tcp.address.ip());
        if beyond && tcp.tls.is_none() {
            let name = bind.name();
            problems.push(
                bind.problem(format!(
                    "`{name}` is `{at}`: beyond loopback the gateway listens only with TLS"
                ))
                .hint(format!("make certificates: {CERTIFICATES}"))
                .hint("then give `cert_path` and `key_path` in `[openshell.gateway.tls]`"),
            );
        }
        if let Some(origin) = &self.unauthenticated {
            problems.extend(self.of_nobody(origin, beyond));
        }
        if let Some((health, origin)) = &self.health
            && health.port() != 0
            && health.port() == tcp.address.port()
            && (health.ip() == at || health.ip().is_unspecified() || at.is_unspecified())
        {
            let message = format!("`{}` is `{health}`, and the gateway itself listens there", origin.name());
            problems.push(origin.problem(message).hint("give it another port, such as 9464"));
        }
        problems
    }

    /// What contradicts letting in everybody.
    fn of_nobody(&self, origin: &Origin, beyond: bool) -> Vec<Problem> {
        let name = origin.name();
        let mut problems = Vec::new();
        if beyond {
            let message = format!(
                "`{name}` would let in whoever reaches `{}`: without authentication the gateway listens on loopback alone",
                self.bind.0
            );
            let problem = origin.problem(message);
            problems.push(problem.hint("leave it out; clients show the token: openshell-gateway token show"));
        }
        let clients = self.file.tls.as_ref().and_then(|tls| tls.value.clients.as_ref());
        for (there, what) in [
            (!self.file.identities.is_empty(), "`[openshell.gateway.identities]` says who may do what"),
            (clients.is_some(), "`client_ca_path` asks for certificates"),
        ] {
            if there {
                let message = format!("`{name}` makes everybody an administrator, and {what}");
                problems.push(origin.problem(message).hint("leave out one of them"));
            }
        }
        problems
    }

    /// What is known of the gateway's own identities alone.
    fn of_identities(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for identity in &self.front.identities {
            let name = &identity.name;
            if identity.token_path.as_ref() == Some(&self.front.token_path) {
                let message =
                    format!("the token of the identity `{name}` is the gateway's own, whose role is `admin`");
                problems.push(Problem::at(identity.at.clone(), message).hint("give it a file of its own"));
            }
            if let Some(uid) = identity.uids.iter().find(|uid| **uid == 0 || **uid == self.uid) {
                let message = format!(
                    "the identity `{name}` has the uid {uid}, which is the gateway's owner, whose role is `admin`"
                );
                problems.push(Problem::at(identity.at.clone(), message).hint("leave that uid out"));
            }
        }
        problems
    }

    /// What is odd, or allowed and worth a second thought.
    fn warnings(&self) -> Vec<Problem> {
        let mut warnings = Vec::new();
        match (&self.front.tcp, &self.unauthenticated) {
            (None, _) => warnings.extend(self.without_tcp()),
            (Some(tcp), Some(origin)) => warnings.push(origin.problem(format!(
                "`{}`: every process that reaches {} may do everything on this gateway",
                origin.name(),
                tcp.address
            ))),
            (Some(_), None) => {}
        }
        if let Some((health, origin)) = &self.health
            && !is_loopback(health.ip())
        {
            let message = format!(
                "`{}` is `{health}`: whoever reaches it reads health and metrics, without authentication",
                origin.name()
            );
            warnings.push(origin.problem(message));
        }
        warnings
    }

    /// Settings of a listener that is not there.
    fn without_tcp(&self) -> Option<Problem> {
        let said = |origin: &Origin| (!matches!(origin, Origin::Default(_))).then(|| origin.name());
        let mut idle: Vec<&str> = [said(&self.bind.1), said(&self.port.1)].into_iter().flatten().collect();
        idle.extend(self.unauthenticated.as_ref().and_then(said));
        if self.file.tls.is_some() {
            idle.push("[openshell.gateway.tls]");
        }
        let have = if idle.len() == 1 { "has" } else { "have" };
        let list = suggest::quoted(&idle);
        (!idle.is_empty())
            .then(|| Problem::new(format!("the TCP listener is switched off: {list} {have} no effect")))
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests;
