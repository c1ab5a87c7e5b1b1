//! The `Sandbox` of agent-sandbox (`agents.x-k8s.io`), where it makes the pods: how it is written, held still and let go.
//!
//! Its controller makes a pod of the object's own name, and claims called after the template and the object. A sandbox is
//! stopped in `v1beta1` by its operating mode, in `v1alpha1` by its number of replicas, which is nought or one.

use kube::api::ApiResource;
use kube::core::{DynamicObject, GroupVersionKind, TypeMeta};
use serde_json::{Value, json};

use crate::plan::{Plan, WORKSPACE_VOLUME};

/// The group of the API.
pub(crate) const GROUP: &str = "agents.x-k8s.io";
/// The kind of the object.
pub(crate) const KIND: &str = "Sandbox";

/// A version of the API that this driver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1Beta1,
    V1Alpha1,
}

impl Version {
    /// All of them, the one to prefer first.
    pub(crate) const ALL: [Self; 2] = [Self::V1Beta1, Self::V1Alpha1];

    fn word(self) -> &'static str {
        match self {
            Self::V1Beta1 => "v1beta1",
            Self::V1Alpha1 => "v1alpha1",
        }
    }

    /// The kind, as the API server is asked for it.
    pub(crate) fn resource(self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, self.word(), KIND), "sandboxes")
    }

    /// What of an object says whether it shall run.
    pub(crate) fn wanted(self, running: bool) -> Value {
        match (self, running) {
            (Self::V1Beta1, true) => json!({ "spec": { "operatingMode": "Running" } }),
            (Self::V1Beta1, false) => json!({ "spec": { "operatingMode": "Suspended" } }),
            (Self::V1Alpha1, running) => json!({ "spec": { "replicas": i32::from(running) } }),
        }
    }

    /// The object of a plan, held still.
    pub(crate) fn object(self, plan: &Plan) -> DynamicObject {
        let mut spec = plan.agent_spec();
        if let (Value::Object(spec), Some(held)) =
            (&mut spec, self.wanted(false).get("spec").and_then(Value::as_object))
        {
            spec.extend(held.clone());
        }
        let resource = self.resource();
        DynamicObject {
            types: Some(TypeMeta { api_version: resource.api_version, kind: resource.kind }),
            metadata: plan.metadata.clone(),
            data: json!({ "spec": spec }),
        }
    }
}

/// The claim that is made for an object's workspace.
pub(crate) fn claim(name: &str) -> String {
    format!("{WORKSPACE_VOLUME}-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_what_they_want() {
        let resource = Version::V1Beta1.resource();
        assert_eq!(
            (resource.api_version.as_str(), resource.plural.as_str()),
            ("agents.x-k8s.io/v1beta1", "sandboxes")
        );
        assert_eq!(Version::V1Alpha1.resource().api_version, "agents.x-k8s.io/v1alpha1");
        assert_eq!(Version::V1Beta1.wanted(false)["spec"]["operatingMode"], "Suspended");
        assert_eq!(Version::V1Beta1.wanted(true)["spec"]["operatingMode"], "Running");
        assert_eq!(Version::V1Alpha1.wanted(false)["spec"]["replicas"], 0);
        assert_eq!(Version::V1Alpha1.wanted(true)["spec"]["replicas"], 1);
        assert_eq!(claim("one"), "workspace-one");
    }
}
