//! The labels on everything that a driver makes, the same for every backend.

use std::collections::BTreeMap;

use crate::SandboxRequest;

/// Says that a resource is ours; its value is [`MANAGED_BY_VALUE`].
pub const MANAGED_BY: &str = "openshell.ai/managed-by";
/// The value of [`MANAGED_BY`].
pub const MANAGED_BY_VALUE: &str = "openshell";
/// The sandbox's id.
pub const SANDBOX_ID: &str = "openshell.ai/sandbox-id";
/// The sandbox's name.
pub const SANDBOX_NAME: &str = "openshell.ai/sandbox-name";
/// The sandbox's workspace.
pub const SANDBOX_WORKSPACE: &str = "openshell.ai/sandbox-workspace";
/// The gateway's id: every query selects by it.
pub const GATEWAY_ID: &str = "openshell.ai/gateway-id";

/// The user's labels of the template with ours on top; ours always win.
#[must_use]
pub fn of(request: &SandboxRequest, gateway_id: &str) -> BTreeMap<String, String> {
    let mut labels = request.spec.template.labels.clone();
    for (key, value) in [
        (MANAGED_BY, MANAGED_BY_VALUE),
        (SANDBOX_ID, request.id.as_str()),
        (SANDBOX_NAME, request.name.as_str()),
        (SANDBOX_WORKSPACE, request.workspace.as_str()),
        (GATEWAY_ID, gateway_id),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SandboxId, SandboxSpec, Template};

    #[test]
    fn ours_win_over_the_user_s() {
        let user =
            [(SANDBOX_ID, "stolen"), ("team", "blue")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let request = SandboxRequest {
            id: SandboxId::new("id-1").expect("an id"),
            name: "one".into(),
            namespace: String::new(),
            workspace: "default".into(),
            spec: SandboxSpec {
                template: Template { labels: user.into(), ..Template::default() },
                ..SandboxSpec::default()
            },
        };
        let labels = of(&request, "gw");
        let expected = [
            (GATEWAY_ID, "gw"),
            (MANAGED_BY, "openshell"),
            (SANDBOX_ID, "id-1"),
            (SANDBOX_NAME, "one"),
            (SANDBOX_WORKSPACE, "default"),
            ("team", "blue"),
        ];
        assert_eq!(
            labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>(),
            expected
        );
    }
}
