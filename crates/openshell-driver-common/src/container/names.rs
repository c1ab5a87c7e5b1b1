//! Names and filters: how what belongs to a gateway, or to one of its sandboxes, is called and found on an engine.

use std::collections::HashMap;

use openshell_driver_api::{SandboxId, labels};

use crate::names::{digest, plain, unplain};

/// Engines keep a volume in a directory of its name, and file systems end at 255 bytes.
const MAX_NAME: usize = 240;
/// How long a sandbox's id in the name of a secret may be: a UUID, beside the digest of a gateway's id.
const MAX_SECRET_ID: usize = 36;
/// The label that holds the name by which requests ask for a volume.
pub const VOLUME: &str = "openshell.ai/volume";

/// The gateway whose resources are meant; every query of this driver is made of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Its id.
    pub gateway_id: String,
}

/// Filters of the engine's lists and events.
pub type Filters = HashMap<String, Vec<String>>;

impl Scope {
    /// Everything of this gateway.
    pub fn filters(&self) -> Filters {
        let pairs =
            [(labels::MANAGED_BY, labels::MANAGED_BY_VALUE), (labels::GATEWAY_ID, self.gateway_id.as_str())];
        HashMap::from([("label".to_owned(), pairs.map(|(key, value)| format!("{key}={value}")).to_vec())])
    }

    /// Everything of one sandbox of this gateway.
    pub fn filters_of(&self, id: &SandboxId) -> Filters {
        let mut filters = self.filters();
        filters.entry("label".to_owned()).or_default().push(format!("{}={id}", labels::SANDBOX_ID));
        filters
    }

    /// The container of a sandbox. It is made of the two ids and nothing else, so that the engine itself refuses a
    /// second container for the same sandbox, whatever it is called.
    pub fn container(&self, id: &SandboxId) -> String {
        format!("openshell-{}.{}", plain(&self.gateway_id), plain(id.as_str()))
    }

    /// The volume that is a sandbox's workspace.
    pub fn volume(&self, id: &SandboxId) -> String {
        format!("{}.workspace", self.container(id))
    }

    /// The volume that holds a sandbox's token where its root cannot be written.
    pub fn token_volume(&self, id: &SandboxId) -> String {
        format!("{}.token", self.container(id))
    }

    /// The secret that is a sandbox's token, on engines that keep secrets: their names end at 64 bytes and begin and end with
    /// a letter or digit, and two ids do not fit into that. The gateway's is a digest in it; the sandbox's own is there
    /// as it is where it is not longer than a UUID.
    pub fn secret(&self, id: &SandboxId) -> String {
        let plain = plain(id.as_str());
        let fits = plain.len() <= MAX_SECRET_ID && plain.ends_with(|last: char| last.is_ascii_alphanumeric());
        let prefix = self.secret_prefix();
        // No id reads back from the latter, which has a dot.
        if fits { prefix + &plain } else { format!("{prefix}{}.long", digest(id.as_str())) }
    }

    /// Whose secret a name is, on engines whose secrets have no labels; `None` for one that is not this gateway's, and for
    /// one whose sandbox's id is too long to be in it.
    pub fn owner_of_secret(&self, name: &str) -> Option<SandboxId> {
        SandboxId::new(unplain(name.strip_prefix(&self.secret_prefix())?)?).ok()
    }

    fn secret_prefix(&self) -> String {
        format!("openshell-{}.", digest(&self.gateway_id))
    }

    /// The network of one sandbox alone.
    pub fn own_network(&self, id: &SandboxId) -> String {
        self.container(id)
    }

    /// The container through which files are put onto a sandbox's volumes where its own root cannot be written.
    pub fn files_container(&self, id: &SandboxId) -> String {
        format!("{}.files", self.container(id))
    }

    /// A volume that requests of one workspace share. No sandbox's own volume is called so: names of sandboxes hold no
    /// dot, and this holds one more.
    pub fn named_volume(&self, workspace: &str, name: &str) -> String {
        format!("openshell-{}.{}.{}.volume", plain(&self.gateway_id), plain(workspace), plain(name))
    }

    /// The labels of a volume that outlives its sandboxes: none of a sandbox, so that no delete of one finds it.
    pub fn volume_labels(&self, workspace: &str, name: &str) -> HashMap<String, String> {
        let mut labels = self.labels();
        labels.insert(labels::SANDBOX_WORKSPACE.to_owned(), workspace.to_owned());
        labels.insert(VOLUME.to_owned(), name.to_owned());
        labels
    }

    /// The gateway's own network.
    pub fn network(&self) -> String {
        format!("openshell-{}", plain(&self.gateway_id))
    }

    /// The labels of what belongs to the gateway as a whole.
    pub fn labels(&self) -> HashMap<String, String> {
        HashMap::from([
            (labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_VALUE.to_owned()),
            (labels::GATEWAY_ID.to_owned(), self.gateway_id.clone()),
        ])
    }

    /// Whether a container of this name is one through which files are put, and no sandbox. By its name, which is the
    /// driver's alone to give: a label could be an image's.
    pub fn is_files_container(&self, name: &str) -> bool {
        let rest = name.trim_start_matches('/').strip_prefix(&self.network());
        rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".files"))
    }

    /// Whether a resource with these labels is a sandbox's of this gateway, and whose.
    pub fn owner(&self, labels: &HashMap<String, String>) -> Option<SandboxId> {
        let is = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
        if !is(labels::MANAGED_BY, labels::MANAGED_BY_VALUE) || !is(labels::GATEWAY_ID, &self.gateway_id) {
            return None;
        }
        labels.get(labels::SANDBOX_ID).and_then(|id| SandboxId::new(id.as_str()).ok())
    }

    /// Whether the names made of an id fit an engine.
    pub fn fits(&self, id: &SandboxId) -> bool {
        !Self::is_too_long(&self.volume(id))
    }

    /// Whether a name is longer than file systems take.
    pub fn is_too_long(name: &str) -> bool {
        name.len() > MAX_NAME
    }
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
    fn a_secret_s_owner_is_read_from_its_name() {
        let gateway = scope("gw");
        for name in ["a", "a.token", "é/x"] {
            assert_eq!(gateway.owner_of_secret(&gateway.secret(&id(name))), Some(id(name)));
        }
        assert_eq!(gateway.owner_of_secret(&scope("gw2").secret(&id("a"))), None);
        assert_eq!(gateway.owner_of_secret(&scope("gw.a").secret(&id("a"))), None);
        let prefix = gateway.secret_prefix();
        for name in ["", "openshell-gw.a", &prefix, &format!("{prefix}a.workspace")] {
            assert_eq!(gateway.owner_of_secret(name), None, "{name}");
        }
        // What engines take, whatever the ids are.
        let uuid = "c97db7be-83be-4825-8f1e-807d82dad652";
        for long in [uuid, &"x".repeat(128), "ends-", "é/é/é/é/é/é/é/é"] {
            let name = scope(&"g".repeat(64)).secret(&id(long));
            assert!(name.len() <= 64 && name.ends_with(|last: char| last.is_ascii_alphanumeric()), "{name}");
        }
        assert_eq!(gateway.owner_of_secret(&gateway.secret(&id(uuid))), Some(id(uuid)));
        assert_eq!(gateway.owner_of_secret(&gateway.secret(&id(&"x".repeat(128)))), None);
    }

    #[test]
    fn long_ids_do_not_fit() {
        assert!(scope("gw").fits(&id(&"x".repeat(128))));
        assert!(!scope("gw").fits(&id(&"é".repeat(64))));
    }
}
