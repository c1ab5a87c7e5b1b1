//! The listener for sandboxes on other hosts: where it is, and what they dial.

use std::net::SocketAddr;

use super::front::in_file;
use super::{FrontSettings, Merge};
use crate::cli::{self, GatewayArgs};
use crate::config::{GatewaySection, SandboxEndpoint, endpoint};

/// The key of the address.
const ADDRESS: &str = "sandbox_bind_address";
/// The key of what is dialled.
const ENDPOINT: &str = "sandbox_endpoint";

/// Where supervisors on other hosts reach the gateway. It is listened on for drivers alone that need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxSettings {
    /// What is listened on, with TLS and in no other way.
    pub address: SocketAddr,
    /// What sandboxes dial.
    pub endpoint: SandboxEndpoint,
}

impl Merge<'_> {
    /// Flags, variables and file; `None` where nobody gives an address.
    pub(super) fn sandboxes(
        &mut self,
        args: &GatewayArgs,
        file: &GatewaySection,
        front: &FrontSettings,
    ) -> Option<SandboxSettings> {
        let before = self.problems.len();
        let address = self
            .sourced(
                "--sandbox-bind-address",
                args.sandbox_bind_address.as_deref(),
                cli::ENV_SANDBOX_BIND_ADDRESS,
                endpoint::sandbox_address,
            )
            .or_else(|| in_file(ADDRESS, file.sandbox_bind_address.as_ref()));
        let dialled = self
            .sourced(
                "--sandbox-endpoint",
                args.sandbox_endpoint.as_deref(),
                cli::ENV_SANDBOX_ENDPOINT,
                endpoint::sandbox_endpoint,
            )
            .or_else(|| in_file(ENDPOINT, file.sandbox_endpoint.as_ref()));
        // What could not be understood was given.
        if self.problems.len() > before {
            return None;
        }
        let Some((address, origin)) = address else {
            if let (Some((_, origin)), false) = (dialled, self.file_failed) {
                let message =
                    format!("`{}` is where sandboxes dial, and nothing listens there", origin.name());
                let hint = format!("say where: {ADDRESS} = \"IP:PORT\" in [openshell.gateway]");
                self.problems.push(origin.problem(message).hint(hint));
            }
            return None;
        };
        let others = [front.tcp.as_ref().map(|tcp| tcp.address), front.health_address];
        if others.into_iter().flatten().any(|other| overlap(address, other)) {
            let message =
                format!("`{}` is `{address}`, and the gateway listens there for others", origin.name());
            self.problems.push(origin.problem(message).hint("give it another port, such as 17671"));
        }
        let endpoint = match dialled {
            Some((endpoint, _)) => endpoint,
            None if address.ip().is_unspecified() => {
                if !self.file_failed {
                    let name = origin.name();
                    let message = format!("`{name}` is `{address}`, which no sandbox can dial");
                    let hint =
                        format!("say what they dial: {ENDPOINT} = \"https://HOST:{}\"", address.port());
                    self.problems.push(origin.problem(message).hint(hint));
                }
                return None;
            }
            None => address.into(),
        };
        Some(SandboxSettings { address, endpoint })
    }
}

/// Whether two listeners get in each other's way.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (any || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::load;

    fn of(args: &GatewayArgs, vars: &[(&str, &str)], keys: &str) -> Option<SandboxSettings> {
        load(args, vars, &format!("[openshell.gateway]\n{keys}\n")).expect(keys).sandboxes
    }

    fn messages(keys: &str) -> Vec<String> {
        let problems = load(&GatewayArgs::default(), &[], &format!("[openshell.gateway]\n{keys}\n"));
        problems.expect_err(keys).0.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn nobody_is_listened_to_unless_somebody_says_where() {
        assert_eq!(of(&GatewayArgs::default(), &[], ""), None);
    }

    #[test]
    fn sandboxes_dial_the_address_unless_told_otherwise() {
        let none = GatewayArgs::default();
        let dialled = |vars: &[(&str, &str)], keys: &str| {
            let settings = of(&none, vars, keys).expect("a listener");
            (settings.address.to_string(), settings.endpoint.to_string())
        };
        let pair = |address: &str, endpoint: &str| (address.to_owned(), endpoint.to_owned());
        let file = "sandbox_bind_address = \"10.0.0.1:17671\"";
        assert_eq!(dialled(&[], file), pair("10.0.0.1:17671", "https://10.0.0.1:17671"));
        let vars =
            [("OPENSHELL_SANDBOX_BIND_ADDRESS", "[::]:1"), ("OPENSHELL_SANDBOX_ENDPOINT", "https://gw:2")];
        assert_eq!(dialled(&vars, file), pair("[::]:1", "https://gw:2"));
        let args = GatewayArgs {
            sandbox_bind_address: Some("10.0.0.3:3".into()),
            sandbox_endpoint: Some("https://gw:3".into()),
            ..GatewayArgs::default()
        };
        let settings = of(&args, &vars, file).expect("a listener");
        assert_eq!((settings.address.port(), settings.endpoint.to_string().as_str()), (3, "https://gw:3"));
    }

    #[test]
    fn what_no_sandbox_could_reach_is_refused() {
        assert_eq!(
            messages("sandbox_bind_address = \"0.0.0.0:17671\""),
            ["`sandbox_bind_address` is `0.0.0.0:17671`, which no sandbox can dial"]
        );
        assert_eq!(
            messages("sandbox_endpoint = \"https://gw:1\""),
            ["`sandbox_endpoint` is where sandboxes dial, and nothing listens there"]
        );
        assert_eq!(
            messages("sandbox_bind_address = \"0.0.0.0:17670\"\nsandbox_endpoint = \"https://gw:1\""),
            ["`sandbox_bind_address` is `0.0.0.0:17670`, and the gateway listens there for others"]
        );
        assert!(messages("sandbox_bind_address = \"10.0.0.1:0\"")[0].contains("a port that stays"));
        // One fault is not told twice.
        assert_eq!(
            messages("sandbox_bind_address = \"0.0.0.0:1\"\nsandbox_endpoint = \"http://gw\"").len(),
            1
        );
    }
}
