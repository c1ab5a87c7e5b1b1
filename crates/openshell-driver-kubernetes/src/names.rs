//! Names, labels and selectors: how what belongs to a gateway, or to one of its sandboxes, is called and found.
//!
//! All objects of a sandbox have one name, which is made of the two ids and of nothing else: kinds have name spaces of
//! their own, and the cluster itself refuses a second object for the same sandbox. Labels are for selectors and hold
//! what fits into one; annotations of the same keys hold the exact texts, and they decide whose an object is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use openshell_driver_api::{SandboxId, SandboxRequest, labels};
use ring::digest::{SHA256, digest};

/// The longest name of a pod whose host name is not cut, and the longest value of a label.
///
/// Source: "Object Names and IDs" and "Labels and Selectors" in the Kubernetes documentation.
const MAX: usize = 63;
/// What the names of our objects begin with.
const PREFIX: &str = "openshell-";
/// How many hexadecimal digits of a digest tell texts apart where the text itself does not fit.
const DIGITS: usize = 16;

/// The gateway whose objects are meant; every query of this driver is made of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    gateway_id: String,
}

/// Whose an object is, in exact texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: SandboxId,
    pub(crate) name: String,
    pub(crate) workspace: String,
}

impl Identity {
    /// Who is asked for.
    pub(crate) fn of(request: &SandboxRequest) -> Self {
        let SandboxRequest { id, name, workspace, .. } = request;
        Self { id: id.clone(), name: name.clone(), workspace: workspace.clone() }
    }
}

impl Scope {
    pub(crate) fn new(gateway_id: &str) -> Self {
        Self { gateway_id: gateway_id.to_owned() }
    }

    /// The name of every object of a sandbox: a DNS label of at most 63 characters.
    pub(crate) fn object(&self, id: &SandboxId) -> String {
        // A NUL is in no id, so no two pairs are the same text.
        let digest = hex(&format!("{}\0{id}", self.gateway_id));
        let room = MAX - PREFIX.len() - DIGITS - 1;
        let slug = slug(id.as_str(), room);
        if slug.is_empty() { format!("{PREFIX}{digest}") } else { format!("{PREFIX}{slug}-{digest}") }
    }

    /// Selects everything of this gateway.
    pub(crate) fn selector(&self) -> String {
        format!(
            "{}={},{}={}",
            labels::MANAGED_BY,
            labels::MANAGED_BY_VALUE,
            labels::GATEWAY_ID,
            value(&self.gateway_id)
        )
    }

    /// Selects everything of one sandbox of this gateway.
    pub(crate) fn selector_of(&self, id: &SandboxId) -> String {
        format!("{},{}={}", self.selector(), labels::SANDBOX_ID, value(id.as_str()))
    }

    /// The labels that select one sandbox's pod, as a policy wants them.
    pub(crate) fn labels_of(&self, id: &SandboxId) -> BTreeMap<String, String> {
        let pairs = [
            (labels::MANAGED_BY, labels::MANAGED_BY_VALUE.to_owned()),
            (labels::GATEWAY_ID, value(&self.gateway_id)),
            (labels::SANDBOX_ID, value(id.as_str())),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// Labels and annotations of an object of a sandbox, with `user`'s labels below ours.
    pub(crate) fn metadata(&self, who: &Identity, user: &BTreeMap<String, String>) -> ObjectMeta {
        let exact = [
            (labels::GATEWAY_ID, self.gateway_id.as_str()),
            (labels::SANDBOX_ID, who.id.as_str()),
            (labels::SANDBOX_NAME, who.name.as_str()),
            (labels::SANDBOX_WORKSPACE, who.workspace.as_str()),
        ];
        let mut all = user.clone();
        all.insert(labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_VALUE.to_owned());
        all.extend(exact.map(|(key, text)| (key.to_owned(), value(text))));
        ObjectMeta {
            labels: Some(all),
            annotations: Some(exact.map(|(key, text)| (key.to_owned(), text.to_owned())).into()),
            ..ObjectMeta::default()
        }
    }

    /// Labels and annotations of what belongs to a workspace as a whole: none of a sandbox, so that no delete of one
    /// finds it.
    pub(crate) fn workspace_metadata(&self, workspace: &str) -> ObjectMeta {
        let exact = [(labels::GATEWAY_ID, self.gateway_id.as_str()), (labels::SANDBOX_WORKSPACE, workspace)];
        let mut all: BTreeMap<String, String> = exact.map(|(key, text)| (key.to_owned(), value(text))).into();
        all.insert(labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_VALUE.to_owned());
        ObjectMeta {
            labels: Some(all),
            annotations: Some(exact.map(|(key, text)| (key.to_owned(), text.to_owned())).into()),
            ..ObjectMeta::default()
        }
    }

    /// Whether an object is a sandbox's of this gateway, and whose.
    pub(crate) fn identity(&self, meta: &ObjectMeta) -> Option<Identity> {
        let is_ours = label(meta, labels::MANAGED_BY) == Some(labels::MANAGED_BY_VALUE);
        if !is_ours || annotation(meta, labels::GATEWAY_ID) != Some(&self.gateway_id) {
            return None;
        }
        let exact = |key| annotation(meta, key).unwrap_or_default().to_owned();
        Some(Identity {
            id: SandboxId::new(exact(labels::SANDBOX_ID)).ok()?,
            name: exact(labels::SANDBOX_NAME),
            workspace: exact(labels::SANDBOX_WORKSPACE),
        })
    }
}

/// A label of an object.
pub(crate) fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// An annotation of an object.
pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// A text as the value of a label: as it is where it may be one, else what is left of it and a digest of the whole.
pub(crate) fn value(text: &str) -> String {
    if is_label_value(text) {
        return text.to_owned();
    }
    let slug = slug(text, MAX - DIGITS - 1);
    if slug.is_empty() { hex(text) } else { format!("{slug}.{}", hex(text)) }
}

/// A text as a part of the name of a namespace, at most `room` long: as it is where it may be one, else what is left of
/// it and a digest of the whole.
pub(crate) fn part(text: &str, room: usize) -> String {
    if text.len() <= room && is_dns_label(text) {
        return text.to_owned();
    }
    let slug = slug(text, room.saturating_sub(DIGITS + 1));
    if slug.is_empty() { hex(text) } else { format!("{slug}-{}", hex(text)) }
}

/// Whether a text may be the value of a label.
pub(crate) fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.is_empty()
        || bytes.len() <= MAX
            && bytes.iter().all(|byte| inner(*byte))
            && ends(bytes.first())
            && ends(bytes.last())
}

/// Whether a text may be a label of a domain's name: lower-case letters, digits and `-`, at most 63.
pub(crate) fn is_dns_label(text: &str) -> bool {
    (1..=MAX).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether a text may be the name of most objects: labels of a domain's name with dots between them, at most 253.
pub(crate) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Whether a text may be the key of a label, an annotation or a resource: a name, or a domain's name, `/`, and a name.
pub(crate) fn is_qualified(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_dns_name(domain) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

/// What a person recognises of a text: its letters and digits in lower case, anything else as single `-`.
fn slug(text: &str, room: usize) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        if slug.len() >= room {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// The first digits of a text's SHA-256.
fn hex(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(DIGITS / 2).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(text: &str) -> SandboxId {
        SandboxId::new(text).expect("an id")
    }

    fn who(id_text: &str) -> Identity {
        Identity { id: id(id_text), name: "one".into(), workspace: "default".into() }
    }

    const ODD: &[&str] = &["a", "A", "a.b", "a b", "é", "-", "..", "0f8fad5b-d9cb-469f-a165-70867728950e"];

    #[test]
    fn names_are_dns_labels_and_never_shared() {
        let long = "x".repeat(300);
        let ids: Vec<&str> = ODD.iter().copied().chain([long.as_str(), &long[1..]]).collect();
        let names: BTreeSet<String> = ["gw", "gw2", "g"]
            .iter()
            .flat_map(|gateway| ids.iter().map(|text| Scope::new(gateway).object(&id(text))))
            .collect();
        assert_eq!(names.len(), 3 * ids.len());
        for name in &names {
            assert!(is_dns_label(name), "{name}");
        }
        let uuid = Scope::new("gw").object(&id("0f8fad5b-d9cb-469f-a165-70867728950e"));
        assert!(uuid.starts_with("openshell-0f8fad5b-d9cb-469f-a165-70867728950e-"), "{uuid}");
        assert_eq!(uuid.len(), 63);
        assert_ne!(Scope::new("a").object(&id("b-c")), Scope::new("a-b").object(&id("c")));
    }

    #[test]
    fn values_of_labels_fit_and_differ() {
        let long = "y".repeat(64);
        let texts: Vec<&str> = ODD.iter().copied().chain([long.as_str(), &long[1..], ""]).collect();
        let values: BTreeSet<String> = texts.iter().map(|text| value(text)).collect();
        assert_eq!(values.len(), texts.len());
        assert!(values.iter().all(|value| is_label_value(value)), "{values:?}");
        assert_eq!(value("team_1.x"), "team_1.x");
    }

    #[test]
    fn parts_of_namespaces_fit() {
        assert_eq!(part("default", 50), "default");
        for text in ["Team", "a.b", "", &"z".repeat(80)] {
            let part = part(text, 40);
            assert!(is_dns_label(&part) && part.len() <= 40, "{part}");
        }
        assert_ne!(part("Team", 40), part("team", 40));
    }

    #[test]
    fn whose_an_object_is() {
        let scope = Scope::new("gw");
        let mine = scope.metadata(&who("a b"), &BTreeMap::new());
        assert_eq!(scope.identity(&mine), Some(who("a b")));
        assert_eq!(Scope::new("g").identity(&mine), None);
        assert_eq!(scope.identity(&scope.workspace_metadata("default")), None);
        assert_eq!(scope.identity(&ObjectMeta::default()), None);
        // Labels alone, which anybody may give, do not make it ours; neither does another text with the same label.
        let labels_only = ObjectMeta { annotations: None, ..mine.clone() };
        assert_eq!(scope.identity(&labels_only), None);
        let mut unmanaged = mine;
        unmanaged.labels.as_mut().expect("labels").remove(labels::MANAGED_BY);
        assert_eq!(scope.identity(&unmanaged), None);
    }

    #[test]
    fn our_labels_win_and_selectors_fit_them() {
        let scope = Scope::new("gate way");
        let user = [(labels::SANDBOX_ID, "stolen"), ("team", "blue")];
        let user = user.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let meta = scope.metadata(&who("s-1"), &user);
        assert_eq!((label(&meta, labels::SANDBOX_ID), label(&meta, "team")), (Some("s-1"), Some("blue")));
        let all = meta.labels.expect("labels");
        for pair in scope.selector_of(&id("s-1")).split(',') {
            let (key, value) = pair.split_once('=').expect("a pair");
            assert_eq!(all.get(key).map(String::as_str), Some(value));
        }
        assert!(scope.labels_of(&id("s-1")).iter().all(|(key, value)| all.get(key) == Some(value)));
    }

    #[test]
    fn keys() {
        for good in ["team", "example.com/team", "a.b-c/D_e.f", "nvidia.com/gpu"] {
            assert!(is_qualified(good), "{good}");
        }
        for bad in ["", "/", "a/", "/b", "a/b/c", "a b", "-a", "Example.com/x", &"k".repeat(64)] {
            assert!(!is_qualified(bad), "{bad}");
        }
    }
}
