//! Whether the cluster's volumes are given to the group that a pod names: of most kinds the node does that, of a few it
//! does not, and there nobody but root could write.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::Client;
use kube::api::{Api, ListParams};

use crate::calls::Calls;
use crate::config::{Config, Storage};
use crate::error;

/// Makers of volumes that are root's, and stay so: a node changes the owner of no directory of its own.
///
/// Source: "hostPath" in the Kubernetes documentation on volumes.
const ROOTS_OWN: &[&str] = &["kubernetes.io/host-path"];
/// How a cluster marks the class of claims that name none; the older one is still in use.
const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// The configuration with what it leaves to the cluster. Whoever may not look at storage classes is told nothing by
/// them, and then the workspace is left to the node.
pub(crate) async fn settled(mut config: Config, client: &Client) -> Config {
    let (None, Storage::Claim { class, .. }) = (config.chown_workspace, &config.storage) else {
        return config;
    };
    let classes: Api<StorageClass> = Api::all(client.clone());
    let found = match Calls::within(classes.list(&ListParams::default())).await {
        Ok(found) => found.items,
        Err(error) if matches!(error::status(&error), Some(403 | 404)) => return config,
        Err(error) => {
            let error = error::cluster("list storage classes", error);
            tracing::warn!(%error, "cannot see which volumes are root's own; `chown_workspace` says so");
            return config;
        }
    };
    config.chown_workspace = Some(is_root_s(&found, class.as_deref()));
    config
}

/// Whether volumes of a class, or of the cluster's default one, are root's own.
fn is_root_s(classes: &[StorageClass], class: Option<&str>) -> bool {
    let is_default = |found: &StorageClass| {
        let annotations = found.metadata.annotations.as_ref();
        DEFAULT.iter().any(|key| annotations.and_then(|all| all.get(*key)).is_some_and(|is| is == "true"))
    };
    let meant = classes.iter().find(|found| match class {
        Some(name) => found.metadata.name.as_deref() == Some(name),
        None => is_default(found),
    });
    meant.is_some_and(|found| ROOTS_OWN.contains(&found.provisioner.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn which_volumes_are_root_s() {
        let class = |name: &str, provisioner: &str, annotations: Value| {
            let object = json!({ "metadata": { "name": name, "annotations": annotations }, "provisioner": provisioner });
            serde_json::from_value::<StorageClass>(object).expect("a storage class")
        };
        let default = json!({ "storageclass.kubernetes.io/is-default-class": "true" });
        let classes = [
            class("host", "kubernetes.io/host-path", default.clone()),
            class("fast", "csi.example.com", json!({})),
        ];
        for (named, is) in [(None, true), (Some("host"), true), (Some("fast"), false), (Some("gone"), false)]
        {
            assert_eq!(is_root_s(&classes, named), is, "{named:?}");
        }
        assert!(!is_root_s(&[class("fast", "csi.example.com", default)], None));
        assert!(!is_root_s(&[], None));
    }
}
