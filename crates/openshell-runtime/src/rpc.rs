//! The methods of the driver contract, as the runtime calls them: their names, and what their codes say of the driver.

use openshell_driver_api::ErrorKind;

/// Whether the driver has a method, as far as its answers have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It has said nothing that tells.
    Unknown,
    /// It has it.
    Served,
    /// It answered `UNIMPLEMENTED`.
    Unimplemented,
}

/// A method of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rpc {
    Capabilities,
    Listeners,
    Validate,
    Get,
    List,
    Create,
    Stop,
    Start,
    Delete,
    Watch,
    EnsureWorkspace,
    DeleteWorkspace,
}

impl Rpc {
    /// All of them, in the contract's order.
    pub(crate) const ALL: [Self; 12] = [
        Self::Capabilities,
        Self::Listeners,
        Self::Validate,
        Self::Get,
        Self::List,
        Self::Create,
        Self::Stop,
        Self::Start,
        Self::Delete,
        Self::Watch,
        Self::EnsureWorkspace,
        Self::DeleteWorkspace,
    ];

    /// As the wire names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Capabilities => "GetCapabilities",
            Self::Listeners => "GetGatewayListenerRequirements",
            Self::Validate => "ValidateSandboxCreate",
            Self::Get => "GetSandbox",
            Self::List => "ListSandboxes",
            Self::Create => "CreateSandbox",
            Self::Stop => "StopSandbox",
            Self::Start => "StartSandbox",
            Self::Delete => "DeleteSandbox",
            Self::Watch => "WatchSandboxes",
            Self::EnsureWorkspace => "EnsureWorkspace",
            Self::DeleteWorkspace => "DeleteWorkspace",
        }
    }

    /// As errors name it.
    pub(crate) fn operation(self) -> &'static str {
        match self {
            Self::Capabilities => "get capabilities",
            Self::Listeners => "get listener requirements",
            Self::Validate => "validate sandbox",
            Self::Get => "get sandbox",
            Self::List => "list sandboxes",
            Self::Create => "create sandbox",
            Self::Stop => "stop sandbox",
            Self::Start => "start sandbox",
            Self::Delete => "delete sandbox",
            Self::Watch => "watch sandboxes",
            Self::EnsureWorkspace => "ensure workspace",
            Self::DeleteWorkspace => "delete workspace",
        }
    }

    /// Whether a gRPC code is a failure of this method. That a sandbox is not there is an answer where that is what was
    /// asked, and so is that a request is no good. That a driver lacks a method is told by [`Support`], and a call that
    /// the gateway dropped is nobody's fault.
    pub(crate) fn is_failure(self, code: i32) -> bool {
        match tonic::Code::from_i32(code) {
            tonic::Code::Ok | tonic::Code::Cancelled | tonic::Code::Unimplemented => false,
            tonic::Code::NotFound => !matches!(self, Self::Get | Self::Delete | Self::DeleteWorkspace),
            tonic::Code::InvalidArgument => self != Self::Validate,
            _ => true,
        }
    }

    /// What a gRPC code tells of the driver's having the method. Codes that a connection gives, too, tell nothing.
    pub(crate) fn told_by(code: i32) -> Support {
        match ErrorKind::from_code(code) {
            None if code == 0 => Support::Served,
            Some(ErrorKind::InvalidArgument | ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
                Support::Served
            }
            Some(ErrorKind::Unimplemented) => Support::Unimplemented,
            _ => Support::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn every_method_has_its_place_in_the_order_of_the_contract() {
        let proto = include_str!("../../../proto/openshell/compute/v1/compute_driver.proto");
        let rpcs = proto.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
        let names: Vec<&str> = rpcs.filter_map(|rpc| rpc.split('(').next()).collect();
        assert_eq!(Rpc::ALL.map(Rpc::name).as_slice(), names);
        for (at, rpc) in Rpc::ALL.iter().enumerate() {
            assert_eq!(*rpc as usize, at);
        }
    }

    #[test]
    fn an_answer_is_no_failure_and_a_broken_connection_says_nothing_of_a_method() {
        for (rpc, code, failure, support) in [
            (Rpc::Get, Code::Ok, false, Support::Served),
            (Rpc::Get, Code::NotFound, false, Support::Served),
            (Rpc::Stop, Code::NotFound, true, Support::Served),
            (Rpc::Stop, Code::Unimplemented, false, Support::Unimplemented),
            (Rpc::List, Code::Unavailable, true, Support::Unknown),
            (Rpc::List, Code::Cancelled, false, Support::Unknown),
            (Rpc::Create, Code::FailedPrecondition, true, Support::Unknown),
            (Rpc::Validate, Code::InvalidArgument, false, Support::Served),
            (Rpc::Create, Code::InvalidArgument, true, Support::Served),
        ] {
            assert_eq!(rpc.is_failure(code as i32), failure, "{rpc:?} {code:?}");
            assert_eq!(Rpc::told_by(code as i32), support, "{code:?}");
        }
    }
}
