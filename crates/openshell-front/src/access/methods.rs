//! Every method that the gateway has, and the least role that may call it; for those of supervisors, the tokens that do. The
//! one place for all of it.

use crate::Role;
use crate::sandbox::Purpose;

/// A method of a gRPC service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Method {
    /// `package.Service/Method`: the path without its first `/`.
    pub(crate) path: &'static str,
    /// Who may call it, and whoever has a higher role.
    pub(crate) role: Role,
    /// Whether it changes something, and is worth a line in the usual log.
    pub(crate) changes: bool,
    /// Of a method that is for supervisors alone, on the doors of their sandboxes: the tokens that may call it.
    pub(crate) supervisor: Option<&'static [Purpose]>,
}

const fn reads(path: &'static str) -> Method {
    Method { path, role: Role::Read, changes: false, supervisor: None }
}

const fn uses(path: &'static str) -> Method {
    Method { path, role: Role::Use, changes: true, supervisor: None }
}

const fn rules(path: &'static str) -> Method {
    Method { path, role: Role::Admin, changes: true, supervisor: None }
}

/// Nobody has the role for it: a token of the sandbox decides.
const fn supervises(path: &'static str, tokens: &'static [Purpose]) -> Method {
    Method { path, role: Role::Admin, changes: false, supervisor: Some(tokens) }
}

const SESSION: &[Purpose] = &[Purpose::Session];
const ANY: &[Purpose] = &[Purpose::Boot, Purpose::Session];

/// All of them; what is asked most often comes first, for the search is linear.
const METHODS: [Method; 29] = [
    reads("openshell.v1.OpenShell/GetSandbox"),
    reads("openshell.v1.OpenShell/ListSandboxes"),
    reads("openshell.v1.OpenShell/WatchSandbox"),
    reads("openshell.v1.OpenShell/Health"),
    uses("openshell.v1.OpenShell/CreateSandbox"),
    uses("openshell.v1.OpenShell/DeleteSandbox"),
    uses("openshell.v1.OpenShell/StopSandbox"),
    uses("openshell.v1.OpenShell/StartSandbox"),
    uses("openshell.v1.OpenShell/ExecSandbox"),
    uses("openshell.v1.OpenShell/ExecSandboxInteractive"),
    uses("openshell.v1.OpenShell/ForwardTcp"),
    reads("openshell.v1.OpenShell/GetGatewayInfo"),
    reads("openshell.v1.OpenShell/GetSandboxLogs"),
    reads("openshell.gateway.v1alpha1.Gateway/GetStatus"),
    uses("openshell.gateway.v1alpha1.Gateway/OpenChannel"),
    uses("openshell.gateway.v1alpha1.Gateway/SignalSandbox"),
    reads("openshell.v1.OpenShell/GetWorkspace"),
    reads("openshell.v1.OpenShell/ListWorkspaces"),
    rules("openshell.v1.OpenShell/CreateWorkspace"),
    rules("openshell.v1.OpenShell/DeleteWorkspace"),
    // What a supervisor in a sandbox says to a gateway. Nobody else has a use for it.
    supervises("openshell.v1.OpenShell/PushSandboxLogs", SESSION),
    supervises("openshell.v1.OpenShell/ConnectSupervisor", ANY),
    supervises("openshell.v1.OpenShell/ReportMainProcessExit", SESSION),
    supervises("openshell.v1.OpenShell/RelayStream", SESSION),
    supervises("openshell.v1.OpenShell/RefreshSandboxToken", ANY),
    reads("grpc.health.v1.Health/Check"),
    reads("grpc.health.v1.Health/Watch"),
    reads("grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    reads("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
];

/// Whatever is not in the table: for administrators, who are told that there is no such method.
const UNKNOWN: Method = rules("unknown");

/// A method by its place in the table; what is in none shares one place, so that nobody can invent names for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MethodId(usize);

impl MethodId {
    /// How many there are, the unknown one among them.
    pub(crate) const COUNT: usize = METHODS.len() + 1;

    /// The method of a request's path.
    pub(crate) fn of(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        Self(METHODS.iter().position(|method| method.path == path).unwrap_or(METHODS.len()))
    }

    /// Every one.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Its place, below [`MethodId::COUNT`].
    pub(crate) fn index(self) -> usize {
        self.0
    }

    /// What is known of it.
    pub(crate) fn method(self) -> Method {
        METHODS.get(self.0).copied().unwrap_or(UNKNOWN)
    }

    /// Whether it is none of the table.
    pub(crate) fn is_unknown(self) -> bool {
        self.0 >= METHODS.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every rpc of the services that the gateway serves, read from the protos themselves.
    fn of_proto(text: &str, service: &str) -> Vec<String> {
        let body = text.split_once(&format!("service {} {{", service.rsplit('.').next().unwrap())).unwrap().1;
        let body = body.split_once("\n}").unwrap().0;
        let rpcs = body.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
        rpcs.map(|rpc| format!("{service}/{}", rpc.split_once('(').unwrap().0.trim())).collect()
    }

    #[test]
    fn every_rpc_has_a_role_and_every_role_an_rpc() {
        let proto = include_str!("../../../../proto/openshell/v1/openshell.proto");
        let served = of_proto(proto, "openshell.v1.OpenShell");
        assert!(served.len() >= 22, "{served:?}");
        let of_table = |prefix: &str| -> BTreeSet<String> {
            METHODS
                .iter()
                .map(|method| method.path.to_owned())
                .filter(|path| path.starts_with(prefix))
                .collect()
        };
        assert_eq!(of_table("openshell.v1.OpenShell/"), served.into_iter().collect::<BTreeSet<_>>());
        let all: BTreeSet<&str> = METHODS.iter().map(|method| method.path).collect();
        assert_eq!(all.len(), METHODS.len(), "a method is there twice");
        let own = include_str!("../../../../proto/openshell/gateway/v1alpha1/gateway.proto");
        let served = of_proto(own, "openshell.gateway.v1alpha1.Gateway");
        assert!(served.len() >= 3, "{served:?}");
        assert_eq!(of_table("openshell.gateway."), served.into_iter().collect::<BTreeSet<_>>());
    }

    #[test]
    fn roles_are_as_documented() {
        for (method, role) in [
            ("openshell.v1.OpenShell/Health", Role::Read),
            ("openshell.v1.OpenShell/GetGatewayInfo", Role::Read),
            ("openshell.v1.OpenShell/GetSandbox", Role::Read),
            ("openshell.v1.OpenShell/GetSandboxLogs", Role::Read),
            ("openshell.v1.OpenShell/GetWorkspace", Role::Read),
            ("openshell.v1.OpenShell/ListSandboxes", Role::Read),
            ("openshell.v1.OpenShell/ListWorkspaces", Role::Read),
            ("openshell.v1.OpenShell/WatchSandbox", Role::Read),
            ("openshell.gateway.v1alpha1.Gateway/GetStatus", Role::Read),
            ("openshell.gateway.v1alpha1.Gateway/OpenChannel", Role::Use),
            ("openshell.gateway.v1alpha1.Gateway/SignalSandbox", Role::Use),
            ("grpc.health.v1.Health/Check", Role::Read),
            ("grpc.health.v1.Health/Watch", Role::Read),
            ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Role::Read),
            ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Role::Read),
            ("openshell.v1.OpenShell/CreateSandbox", Role::Use),
            ("openshell.v1.OpenShell/StopSandbox", Role::Use),
            ("openshell.v1.OpenShell/StartSandbox", Role::Use),
            ("openshell.v1.OpenShell/DeleteSandbox", Role::Use),
            ("openshell.v1.OpenShell/ExecSandbox", Role::Use),
            ("openshell.v1.OpenShell/ExecSandboxInteractive", Role::Use),
            ("openshell.v1.OpenShell/ForwardTcp", Role::Use),
            ("openshell.v1.OpenShell/CreateWorkspace", Role::Admin),
            ("openshell.v1.OpenShell/DeleteWorkspace", Role::Admin),
            ("openshell.v1.OpenShell/RefreshSandboxToken", Role::Admin),
            ("openshell.v1.OpenShell/NoSuchMethod", Role::Admin),
            ("openshell.v1.OpenShell", Role::Admin),
            ("", Role::Admin),
            ("/openshell.v1.OpenShell/GetSandbox", Role::Admin),
            ("openshell.v1.OpenShell/getsandbox", Role::Admin),
        ] {
            assert_eq!(MethodId::of(&format!("/{method}")).method().role, role, "{method}");
        }
    }

    #[test]
    fn supervisors_have_five_methods_and_a_boot_token_two_of_them() {
        let with = |purpose: Purpose| -> BTreeSet<&str> {
            let fit = |method: &&Method| method.supervisor.is_some_and(|tokens| tokens.contains(&purpose));
            METHODS.iter().filter(fit).filter_map(|method| method.path.rsplit('/').next()).collect()
        };
        let boot = BTreeSet::from(["ConnectSupervisor", "RefreshSandboxToken"]);
        let further = ["PushSandboxLogs", "RelayStream", "ReportMainProcessExit"];
        assert_eq!(with(Purpose::Boot), boot);
        assert_eq!(with(Purpose::Session), boot.into_iter().chain(further).collect());
    }

    #[test]
    fn what_reads_changes_nothing() {
        for method in METHODS {
            let reads = method.role == Role::Read || method.supervisor.is_some();
            assert_eq!(reads, !method.changes, "{}", method.path);
        }
    }
}
