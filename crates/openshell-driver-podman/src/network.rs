//! A sandbox's own network: what it is made of, and whether it keeps sandboxes apart.
//!
//! With root it is a bridge that netavark, the service's network program, isolates from the other isolated ones. Where
//! netavark keeps its rules with iptables, it leads to all of them by one rule, which it takes away whenever *any* isolated
//! network ends and puts back when the next one begins: in between, every sandbox reaches every other. Nothing in the API
//! puts that rule back, and no answer tells whether it is there. So the driver does what is left: it says so once, it calls
//! its bridges by names that one rule of the operator's can hold apart, and it offers a network without a bridge.

use std::collections::BTreeMap;

use openshell_driver_common::config::Problem;
use openshell_driver_common::container::values::Network;
use openshell_driver_common::names::digest;

use crate::engine::HostInfo;

/// What the names of all bridges of sandboxes begin with, and nothing else's. Told to operators, whose rules hold it.
const BRIDGES: &str = "osh-";
/// Names of network interfaces end at 15 bytes.
const MAX_INTERFACE: usize = 15;

/// What a sandbox's own network is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OwnNetwork {
    /// An isolated bridge where the service has root; without, whatever stack the service gives to each container.
    #[default]
    Bridge,
    /// A stack in a process of its own, which reaches the world as the service's host does, and no bridge.
    Slirp4netns,
}

impl OwnNetwork {
    /// Reads it.
    ///
    /// # Errors
    /// Any other text.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        match text {
            "bridge" => Ok(Self::Bridge),
            "slirp4netns" => Ok(Self::Slirp4netns),
            _ => {
                let hint = Some("own_network = \"bridge\"".to_owned());
                Err(("is none of `bridge` and `slirp4netns`".to_owned(), hint))
            }
        }
    }

    /// Whether a sandbox on this network has a bridge made for it.
    pub(crate) fn is_bridge(self, network: &Network, rootless: bool) -> bool {
        *network == Network::Own && self == Self::Bridge && !rootless
    }

    /// Libpod's word for a network without a bridge.
    pub(crate) fn mode(self) -> &'static str {
        match self {
            // The service's choice, whose loopback is not the host's.
            Self::Bridge => "private",
            Self::Slirp4netns => "slirp4netns",
        }
    }

    /// What is said to the service besides: its configuration may open the host's loopback to all containers.
    pub(crate) fn options(self) -> BTreeMap<String, Vec<String>> {
        match self {
            Self::Bridge => BTreeMap::new(),
            Self::Slirp4netns => {
                [(self.mode().to_owned(), vec!["allow_host_loopback=false".to_owned()])].into()
            }
        }
    }
}

/// The interface of a network's bridge.
pub(crate) fn bridge(network: &str) -> String {
    let mut name = format!("{BRIDGES}{}", digest(network));
    name.truncate(MAX_INTERFACE);
    name
}

/// Whether the service's bridges may lose their isolation: netavark knows nothing but nftables since 2.0, where nothing is
/// taken away that others need. Before, no answer tells which of the two it uses, and older services not even which netavark
/// it is.
pub(crate) fn may_lose_isolation(host: &HostInfo) -> bool {
    let version = host.network_backend_info.version.rsplit(' ').next();
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    !host.security.rootless && host.network_backend == "netavark" && major.is_none_or(|major| major < 2)
}

/// Tells the operator what may not hold.
pub(crate) fn warn_of_bridges() {
    tracing::warn!(
        "sandboxes may reach each other: where netavark keeps its rules with iptables, it stops isolating every network \
         whenever one of them ends, until another begins; set `firewall_driver = \"nftables\"` in `containers.conf` \
         (netavark 1.10 or newer), or run `iptables -t mangle -I FORWARD -i {BRIDGES}+ -o {BRIDGES}+ -j DROP` on the \
         podman service's host at each of its starts, or set `own_network = \"slirp4netns\"` in \
         `[openshell.drivers.podman]`; see docs/podman.md, \"Networks\""
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_are_called_apart_and_alike() {
        let (one, two) = (bridge("openshell-gw.id-1"), bridge("openshell-gw.id-2"));
        assert_ne!(one, two);
        assert_eq!(one, bridge("openshell-gw.id-1"), "the same again when it has to be made again");
        for name in [one, two] {
            assert!(name.starts_with(BRIDGES) && name.len() == MAX_INTERFACE, "{name}");
        }
    }

    #[test]
    fn whose_bridges_may_lose_their_isolation() {
        for (host, may) in [
            // 4.3 does not tell which netavark it is.
            (r#"{"networkBackend": "netavark"}"#, true),
            (r#"{"networkBackend": "netavark", "networkBackendInfo": {"version": "netavark 1.17.2"}}"#, true),
            (r#"{"networkBackend": "netavark", "networkBackendInfo": {"version": "netavark 2.1.0"}}"#, false),
            (
                r#"{"networkBackend": "netavark", "networkBackendInfo": {"version": "netavark 10.0.0-dev"}}"#,
                false,
            ),
            (r#"{"networkBackend": "netavark", "networkBackendInfo": {"version": ""}}"#, true),
            // There are no bridges without root, and other backends have other rules.
            (r#"{"networkBackend": "netavark", "security": {"rootless": true}}"#, false),
            (r#"{"networkBackend": "cni"}"#, false),
        ] {
            let read = serde_json::from_str(host).expect("a host");
            assert_eq!(may_lose_isolation(&read), may, "{host}");
        }
    }
}
