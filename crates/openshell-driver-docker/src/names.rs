//! Names and filters: how what belongs to a gateway, or to one of its sandboxes, is called and found on an engine.

use std::collections::HashMap;
use std::fmt::Write as _;

use openshell_driver_api::{SandboxId, labels};

/// Engines keep a volume in a directory of its name, and file systems end at 255 bytes.
const MAX_NAME: usize = 240;
/// The label that holds the name by which requests ask for a volume.
pub(crate) const VOLUME: &str = "openshell.ai/volume";

/// The gateway whose resources are meant; every query of this driver is made of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) gateway_id: String,
}

/// Filters of the engine's lists and events.
pub(crate) type Filters = HashMap<String, Vec<String>>;

impl Scope {
    /// Everything of this gateway.
    pub(crate) fn filters(&self) -> Filters {
        let pairs =
            [(labels::MANAGED_BY, labels::MANAGED_BY_VALUE), (labels::GATEWAY_ID, self.gateway_id.as_str())];
        HashMap::from([("label".to_owned(), pairs.map(|(key, value)| format!("{key}={value}")).to_vec())])
    }

    /// Everything of one sandbox of this gateway.
    pub(crate) fn filters_of(&self, id: &SandboxId) -> Filters {
        let mut filters = self.filters();
        filters.entry("label".to_owned()).or_default().push(format!("{}={id}", labels::SANDBOX_ID));
        filters
    }

    /// The container of a sandbox. It is made of the two ids and nothing else, so that the engine itself refuses a
    /// second container for the same sandbox, whatever it is called.
    pub(crate) fn container(&self, id: &SandboxId) -> String {
        format!("openshell-{}.{}", plain(&self.gateway_id), plain(id.as_str()))
    }

    /// The volume that is a sandbox's workspace.
    pub(crate) fn volume(&self, id: &SandboxId) -> String {
        format!("{}.workspace", self.container(id))
    }

    /// The volume that holds a sandbox's token where its root cannot be written.
    pub(crate) fn token_volume(&self, id: &SandboxId) -> String {
        format!("{}.token", self.container(id))
    }

    /// The container through which files are put onto a sandbox's volumes where its own root cannot be written.
    pub(crate) fn files_container(&self, id: &SandboxId) -> String {
        format!("{}.files", self.container(id))
    }

    /// A volume that requests of one workspace share. No sandbox's own volume is called so: names of sandboxes hold no
    /// dot, and this holds one more.
    pub(crate) fn named_volume(&self, workspace: &str, name: &str) -> String {
        format!("openshell-{}.{}.{}.volume", plain(&self.gateway_id), plain(workspace), plain(name))
    }

    /// The labels of a volume that outlives its sandboxes: none of a sandbox, so that no delete of one finds it.
    pub(crate) fn volume_labels(&self, workspace: &str, name: &str) -> HashMap<String, String> {
        let mut labels = self.labels();
        labels.insert(labels::SANDBOX_WORKSPACE.to_owned(), workspace.to_owned());
        labels.insert(VOLUME.to_owned(), name.to_owned());
        labels
    }

    /// The gateway's own network.
    pub(crate) fn network(&self) -> String {
        format!("openshell-{}", plain(&self.gateway_id))
    }

    /// The labels of what belongs to the gateway as a whole.
    pub(crate) fn labels(&self) -> HashMap<String, String> {
        HashMap::from([
            (labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_VALUE.to_owned()),
            (labels::GATEWAY_ID.to_owned(), self.gateway_id.clone()),
        ])
    }

    /// Whether a container of this name is one through which files are put, and no sandbox. By its name, which is the
    /// driver's alone to give: a label could be an image's.
    pub(crate) fn is_files_container(&self, name: &str) -> bool {
        let rest = name.trim_start_matches('/').strip_prefix(&self.network());
        rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".files"))
    }

    /// Whether a resource with these labels is a sandbox's of this gateway, and whose.
    pub(crate) fn owner(&self, labels: &HashMap<String, String>) -> Option<SandboxId> {
        let is = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
        if !is(labels::MANAGED_BY, labels::MANAGED_BY_VALUE) || !is(labels::GATEWAY_ID, &self.gateway_id) {
            return None;
        }
        labels.get(labels::SANDBOX_ID).and_then(|id| SandboxId::new(id.as_str()).ok())
    }

    /// Whether the names made of an id fit an engine.
    pub(crate) fn fits(&self, id: &SandboxId) -> bool {
        !Self::is_too_long(&self.volume(id))
    }

    /// Whether a name is longer than file systems take.
    pub(crate) fn is_too_long(name: &str) -> bool {
        name.len() > MAX_NAME
    }
}

/// A text in the letters that engines and file systems allow, different for different texts: letters, digits and `-`
/// stay, any other byte is `_` and two hexadecimal digits.
pub(crate) fn plain(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut plain, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            plain.push(char::from(byte));
        } else {
            let _ = write!(plain, "_{byte:02x}");
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(gateway: &str) -> Scope {
        Scope { gateway_id: gateway.into() }
    }

    fn id(text: &str) -> SandboxId {
        SandboxId::new(text).expect("an id")
    }

    #[test]
    fn different_ids_never_share_a_name() {
        let pairs = [
            ("a", "b-c"),
            ("a-b", "c"),
            ("a.b", "c"),
            ("a", "b.c"),
            ("a", "b_2ec"),
            ("a", "b/c"),
            ("a", "B-c"),
        ];
        let names: std::collections::BTreeSet<String> =
            pairs.iter().map(|(gw, sb)| scope(gw).container(&id(sb))).collect();
        assert_eq!(names.len(), pairs.len());
        assert_eq!(scope("a").named_volume("default", "data.1"), "openshell-a.default.data_2e1.volume");
        assert_eq!(scope("gw-1").volume(&id("../x")), "openshell-gw-1._2e_2e_2fx.workspace");
    }

    #[test]
    fn the_owner_is_read_from_all_three_labels() {
        let mut labels = scope("gw").labels();
        assert_eq!(scope("gw").owner(&labels), None);
        labels.insert(labels::SANDBOX_ID.to_owned(), "s".to_owned());
        assert_eq!(scope("gw").owner(&labels), Some(id("s")));
        assert_eq!(scope("gw2").owner(&labels), None);
    }

    #[test]
    fn a_container_for_files_is_no_sandbox_s() {
        let gateway = scope("gw");
        assert!(gateway.is_files_container(&format!("/{}", gateway.files_container(&id("a")))));
        for name in [
            gateway.container(&id("a")),
            gateway.container(&id("a.files")),
            scope("g").files_container(&id("a")),
        ] {
            assert!(!gateway.is_files_container(&name), "{name}");
        }
    }

    #[test]
    fn long_ids_do_not_fit() {
        assert!(scope("gw").fits(&id(&"x".repeat(128))));
        assert!(!scope("gw").fits(&id(&"é".repeat(64))));
    }
}
