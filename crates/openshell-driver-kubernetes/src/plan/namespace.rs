//! Where sandboxes are made: one namespace for all, or one for each workspace.

use k8s_openapi::api::core::v1::Namespace;
use openshell_driver_api::labels;

use crate::config::{Config, Namespaces};
use crate::names::{self, Scope, annotation};

/// The namespace of a workspace. `connected` is that of the connection, for a configuration that names none.
pub(crate) fn name(config: &Config, connected: &str, workspace: &str) -> String {
    match &config.namespaces {
        Namespaces::Shared(None) => connected.to_owned(),
        Namespaces::Shared(Some(name)) => name.clone(),
        Namespaces::PerWorkspace(template) => template.name(workspace),
    }
}

/// The namespace that a workspace has of its own; `None` when all are in one, which the operator makes.
pub(crate) fn manifest(config: &Config, scope: &Scope, workspace: &str) -> Option<Namespace> {
    let Namespaces::PerWorkspace(template) = &config.namespaces else { return None };
    let mut metadata = scope.workspace_metadata(workspace);
    metadata.name = Some(template.name(workspace));
    Some(Namespace { metadata, ..Namespace::default() })
}

/// Whether a namespace is this workspace's of this gateway: made by it, or labelled for it by hand.
pub(crate) fn is_usable(wanted: &Namespace, found: &Namespace) -> bool {
    [labels::MANAGED_BY, labels::GATEWAY_ID, labels::SANDBOX_WORKSPACE].iter().all(|key| {
        let wanted = names::label(&wanted.metadata, key);
        wanted.is_some() && wanted == names::label(&found.metadata, key)
    })
}

/// Whether the driver has made it, and so may remove it: one that was labelled by hand has no annotations of ours.
pub(crate) fn is_made(wanted: &Namespace, found: &Namespace) -> bool {
    is_usable(wanted, found)
        && [labels::GATEWAY_ID, labels::SANDBOX_WORKSPACE].iter().all(|key| {
            let wanted = annotation(&wanted.metadata, key);
            wanted.is_some() && wanted == annotation(&found.metadata, key)
        })
}

/// What makes a namespace that is there already a workspace's, as a command.
pub(crate) fn how_to_label(wanted: &Namespace) -> String {
    let labels: Vec<String> =
        wanted.metadata.labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let name = wanted.metadata.name.as_deref().unwrap_or_default();
    format!("kubectl label namespace {name} {}", labels.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::read(&text.parse().expect("TOML")).expect("a configuration")
    }

    #[test]
    fn one_for_all_or_one_each() {
        assert_eq!(name(&config(""), "mine", "team"), "mine");
        assert_eq!(name(&config("namespace = 'agents'"), "mine", "team"), "agents");
        let each = config("namespace_template = 'os-{workspace}-x'");
        assert_eq!(name(&each, "mine", "team"), "os-team-x");
        let long = name(&each, "mine", &"w".repeat(200));
        assert!(names::is_dns_label(&long) && long.starts_with("os-ww") && long.ends_with("-x"), "{long}");
        assert_ne!(name(&each, "mine", "Team"), name(&each, "mine", "team"));
        assert_eq!(manifest(&config(""), &Scope::new("gw"), "team"), None);
    }

    #[test]
    fn whose_a_namespace_is() {
        let config = config("namespace_template = '{workspace}'");
        let wanted = manifest(&config, &Scope::new("gw"), "team").expect("one of its own");
        assert!(is_usable(&wanted, &wanted) && is_made(&wanted, &wanted));
        let other = manifest(&config, &Scope::new("gw2"), "team").expect("one of its own");
        assert!(!is_usable(&wanted, &other) && !is_usable(&wanted, &Namespace::default()));
        let mut by_hand = wanted.clone();
        by_hand.metadata.annotations = None;
        assert!(is_usable(&wanted, &by_hand) && !is_made(&wanted, &by_hand));
        assert_eq!(
            how_to_label(&wanted),
            "kubectl label namespace team openshell.ai/gateway-id=gw openshell.ai/managed-by=openshell \
             openshell.ai/sandbox-workspace=team"
        );
    }
}
