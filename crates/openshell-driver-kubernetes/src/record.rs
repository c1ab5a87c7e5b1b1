//! The record of a sandbox: the object that says that there is one, made first and removed last.
//!
//! ```text
//!            making ──▶ running ◀──▶ stopped          deleting: from any of them, and nothing leads back
//!                          ▲             │
//!                          └─ starting ◀─┘
//! ```
//!
//! A pod that was stopped is gone, and so is whatever was known of it. What is left says how to make it again and that
//! somebody asked for the stop. It is a `ConfigMap` with the pod's manifest, and not an annotation of the claim, because
//! a sandbox on an `emptyDir` has no claim; and not a `Secret`, because then the driver would need the right to list
//! every secret there is. The manifest holds nothing that the pod itself does not show. With agent-sandbox the `Sandbox`
//! object is all of this. Either is made by a POST, so that of two creates of one id the API server refuses one.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::ApiResource;
use kube::core::{DynamicObject, ObjectMeta, TypeMeta};
use openshell_driver_api::{DriverError, ErrorKind};
use serde_json::{Value, json};

use crate::names::{Identity, Scope};
use crate::plan::Plan;
use crate::state::Backend;

/// The annotation that holds the state.
const WANTED: &str = "openshell.ai/wanted";
/// The annotation that holds since when the state is what it is, RFC 3339.
const SINCE: &str = "openshell.ai/wanted-since";
/// Where the manifest of the pod is kept.
const POD: &str = "pod.json";
/// The annotation that tells one create from another: whoever was not answered finds out whether it was carried out.
const MAKER: &str = "openshell.ai/maker";

/// How far a sandbox is, in the driver's own view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A create is under way, or was when its gateway ended.
    Making,
    /// A start is under way, or was when its gateway ended.
    Starting,
    /// There is, or was, a pod.
    Running,
    /// Somebody asked for a stop.
    Stopped,
    /// Somebody asked for a delete.
    Deleting,
}

impl State {
    /// The word in the annotation.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Deleting => "deleting",
        }
    }

    /// Reads the word; one that nobody knows is a hand's, and the pod says how it is.
    fn read(word: &str) -> Self {
        let all = [Self::Making, Self::Starting, Self::Running, Self::Stopped, Self::Deleting];
        all.into_iter().find(|state| state.word() == word).unwrap_or(Self::Running)
    }
}

/// What is known of a sandbox without its pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) identity: Identity,
    /// The name of the record, and of the pod.
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Of this very object: one that was made later under the same name has another.
    pub(crate) uid: String,
    pub(crate) state: State,
    /// Since when it is in that state, RFC 3339.
    pub(crate) since: String,
    /// Which create made it.
    pub(crate) maker: String,
    /// The cluster removes it.
    pub(crate) going: bool,
    /// What the controller of agent-sandbox says, where it is the one that makes pods.
    pub(crate) backend: Option<Backend>,
}

impl Record {
    /// Reads a record; `None` when it is not one of this gateway's.
    pub(crate) fn read(scope: &Scope, object: &DynamicObject) -> Option<Self> {
        let meta = &object.metadata;
        let identity = scope.identity(meta)?;
        let note =
            |key: &str| meta.annotations.as_ref().and_then(|notes| notes.get(key)).map_or("", String::as_str);
        let created = meta.creation_timestamp.as_ref().map(|time| time.0.to_string()).unwrap_or_default();
        let since = match note(SINCE) {
            "" => created,
            since => since.to_owned(),
        };
        Some(Self {
            identity,
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            state: State::read(note(WANTED)),
            since,
            maker: note(MAKER).to_owned(),
            going: meta.deletion_timestamp.is_some(),
            backend: Backend::read(&object.data),
        })
    }

    /// Whether the sandbox is on its way out.
    pub(crate) fn is_deleting(&self) -> bool {
        self.going || self.state == State::Deleting
    }
}

/// Notes on a manifest that it is being made, and by which create.
pub(crate) fn begin(meta: &mut ObjectMeta, maker: &str, now: &str) {
    let notes = meta.annotations.get_or_insert_default();
    notes.insert(WANTED.to_owned(), State::Making.word().to_owned());
    notes.insert(SINCE.to_owned(), now.to_owned());
    notes.insert(MAKER.to_owned(), maker.to_owned());
}

/// What is applied to a record to bring it into a state, with whatever goes with it in its `spec`. It names the uid, so
/// that the API server refuses it for an object that was made later under the same name, and never makes one.
pub(crate) fn transition(
    resource: &ApiResource,
    record: &Record,
    state: State,
    now: &str,
    patch: Option<Value>,
) -> Value {
    let mut object = patch.filter(Value::is_object).unwrap_or_else(|| json!({}));
    object["apiVersion"] = json!(resource.api_version);
    object["kind"] = json!(resource.kind);
    object["metadata"] = json!({
        "name": record.name,
        "namespace": record.namespace,
        "uid": record.uid,
        "annotations": { WANTED: state.word(), SINCE: now },
    });
    object
}

/// The record of a plan, as a config map.
///
/// # Errors
/// `Internal` for a pod that cannot be written down.
pub(crate) fn manifest(plan: &Plan, resource: &ApiResource) -> Result<DynamicObject, DriverError> {
    Ok(DynamicObject {
        types: Some(TypeMeta { api_version: resource.api_version.clone(), kind: resource.kind.clone() }),
        metadata: plan.metadata.clone(),
        data: json!({ "data": keep(&plan.pod)? }),
    })
}

/// What a config map keeps of a pod.
///
/// # Errors
/// `Internal` for a pod that cannot be written down.
pub(crate) fn keep(pod: &Pod) -> Result<Value, DriverError> {
    let text = serde_json::to_string(pod).map_err(|error| {
        DriverError::new(ErrorKind::Internal, "create sandbox", "the pod cannot be written down")
            .with_source(error)
    })?;
    Ok(json!({ POD: text }))
}

/// The pod that a config map keeps.
///
/// # Errors
/// `FailedPrecondition` when it keeps none, which takes a hand.
pub(crate) fn kept(record: &ConfigMap) -> Result<Pod, DriverError> {
    let text = record.data.as_ref().and_then(|data| data.get(POD)).map_or("", String::as_str);
    serde_json::from_str(text).map_err(|error| {
        let name = record.metadata.name.as_deref().unwrap_or_default();
        let message = format!("the config map `{name}` keeps no pod under `{POD}`; delete the sandbox");
        DriverError::new(ErrorKind::FailedPrecondition, "start sandbox", message).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::SandboxId;

    use super::*;

    fn object(notes: &[(&str, &str)]) -> DynamicObject {
        let scope = Scope::new("gw");
        let who = Identity {
            id: SandboxId::new("s").expect("an id"),
            name: "n".to_owned(),
            workspace: "w".to_owned(),
        };
        let mut metadata = scope.metadata(&who, &std::collections::BTreeMap::new());
        let all = metadata.annotations.get_or_insert_default();
        all.extend(notes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        metadata.uid = Some("uid".to_owned());
        metadata.name = Some("name".to_owned());
        DynamicObject { types: None, metadata, data: Value::Null }
    }

    #[test]
    fn states_read_back_and_a_strange_one_is_the_pod_s_to_say() {
        for state in [State::Making, State::Starting, State::Running, State::Stopped, State::Deleting] {
            let record = Record::read(&Scope::new("gw"), &object(&[(WANTED, state.word())]));
            assert_eq!(record.expect("ours").state, state);
        }
        let record = Record::read(&Scope::new("gw"), &object(&[(WANTED, "what")])).expect("ours");
        assert_eq!(record.state, State::Running);
        assert_eq!(Record::read(&Scope::new("other"), &object(&[])), None);
    }

    #[test]
    fn a_beginning_is_read_back() {
        let mut made = object(&[]);
        begin(&mut made.metadata, "me", "2026-01-01T00:00:00Z");
        let record = Record::read(&Scope::new("gw"), &made).expect("ours");
        assert_eq!((record.state, record.maker.as_str()), (State::Making, "me"));
        assert_eq!(record.since, "2026-01-01T00:00:00Z");
        assert!(!record.is_deleting());
        made.metadata.deletion_timestamp = made.metadata.creation_timestamp.clone();
        assert!(!Record::read(&Scope::new("gw"), &made).expect("ours").is_deleting());
    }

    #[test]
    fn a_transition_holds_for_one_object_alone() {
        let record = Record::read(&Scope::new("gw"), &object(&[])).expect("ours");
        let resource = ApiResource::erase::<ConfigMap>(&());
        let patch = json!({ "spec": { "replicas": 0 } });
        let applied = transition(&resource, &record, State::Stopped, "now", Some(patch));
        assert_eq!(applied["metadata"]["uid"], "uid");
        assert_eq!(applied["metadata"]["annotations"][WANTED], "stopped");
        assert_eq!((&applied["kind"], &applied["spec"]["replicas"]), (&json!("ConfigMap"), &json!(0)));
    }
}
