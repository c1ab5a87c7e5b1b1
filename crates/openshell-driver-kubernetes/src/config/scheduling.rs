//! Where pods may run, as the table says it: labels of nodes, and taints that are tolerated.

use std::collections::BTreeMap;

use openshell_driver_api::Table;
use openshell_driver_common::config::{Reader, did_you_mean};
use toml::Value;

use crate::names::{is_label_value, is_qualified};

/// A taint that is tolerated, in the cluster's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Toleration {
    /// The taint's key; `None` is every one.
    pub(crate) key: Option<String>,
    /// The taint's value; `None` is every one.
    pub(crate) value: Option<String>,
    /// The taint's effect; `None` is every one.
    pub(crate) effect: Option<String>,
    /// How long a pod stays after a taint with the effect `NoExecute` came; `None` is for good.
    pub(crate) seconds: Option<i64>,
}

/// The keys of a toleration.
pub(crate) const TOLERATION_KEYS: &[&str] = &["key", "operator", "value", "effect", "toleration_seconds"];

impl Toleration {
    /// Reads one from its parts.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(
        key: Option<String>,
        operator: Option<&str>,
        value: Option<String>,
        effect: Option<String>,
        seconds: Option<i64>,
    ) -> Result<Self, String> {
        if let Some(key) = key.as_ref().filter(|key| !is_qualified(key)) {
            return Err(format!("`{}` is not the key of a taint", key.escape_debug()));
        }
        if let Some(value) = value.as_ref().filter(|value| !is_label_value(value)) {
            return Err(format!("`{}` is not the value of a taint", value.escape_debug()));
        }
        match (operator, &key, &value) {
            (Some("Exists"), _, Some(_)) => {
                return Err("the operator `Exists` takes no value".to_owned());
            }
            (Some("Exists"), _, None) | (Some("Equal") | None, Some(_), Some(_)) => {}
            (Some("Equal") | None, _, _) => {
                return Err("the operator `Equal` takes a key and a value; `Exists` takes a key".to_owned());
            }
            (Some(other), _, _) => {
                return Err(format!(
                    "the operator `{}` is neither `Exists` nor `Equal`",
                    other.escape_debug()
                ));
            }
        }
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if let Some(effect) = effect.as_ref().filter(|effect| !known.contains(&effect.as_str())) {
            let effect = effect.escape_debug();
            return Err(format!("the effect `{effect}` is none of `{}`", known.join("`, `")));
        }
        if seconds.is_some() && effect.as_deref() != Some("NoExecute") {
            return Err("`toleration_seconds` is for the effect `NoExecute` alone".to_owned());
        }
        Ok(Self { key, value, effect, seconds })
    }
}

/// `node_selector`: a table of texts.
pub(super) fn node_selector(reader: &mut Reader<'_>, table: &Table) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let example = || Some("node_selector = { pool = \"sandboxes\" }".to_owned());
    let Some(value) = table.get("node_selector") else { return labels };
    let Some(pairs) = value.as_table() else {
        reader.fault("node_selector", "`node_selector` is not a table".to_owned(), example());
        return labels;
    };
    for (key, value) in pairs {
        match value.as_str() {
            Some(text) if is_qualified(key) && is_label_value(text) => {
                labels.insert(key.clone(), text.to_owned());
            }
            _ => {
                let problem = format!("`{key}` and its value are not a label of a node");
                reader.fault("node_selector", problem, example());
            }
        }
    }
    labels
}

/// `tolerations`: a list of tables with the keys of a pod's.
pub(super) fn tolerations(reader: &mut Reader<'_>, table: &Table) -> Vec<Toleration> {
    let example = || Some("tolerations = [{ key = \"sandboxes\", operator = \"Exists\" }]".to_owned());
    let Some(value) = table.get("tolerations") else { return Vec::new() };
    let Some(list) = value.as_array() else {
        reader.fault("tolerations", "`tolerations` is not a list".to_owned(), example());
        return Vec::new();
    };
    let mut tolerations = Vec::new();
    for (place, item) in list.iter().enumerate() {
        match toleration(item) {
            Ok(toleration) => tolerations.push(toleration),
            Err(problem) => {
                reader.fault("tolerations", format!("`tolerations[{place}]`: {problem}"), example())
            }
        }
    }
    tolerations
}

fn toleration(item: &Value) -> Result<Toleration, String> {
    let table = item.as_table().ok_or("it is not a table")?;
    if let Some(key) = table.keys().find(|key| !TOLERATION_KEYS.contains(&key.as_str())) {
        return Err(format!("unknown key `{key}`; {}", did_you_mean(key, TOLERATION_KEYS)));
    }
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(value) => {
            value.as_str().map(|text| Some(text.to_owned())).ok_or(format!("`{key}` is not a text"))
        }
    };
    let seconds = match table.get("toleration_seconds") {
        None => None,
        Some(value) => Some(value.as_integer().ok_or("`toleration_seconds` is not an integer")?),
    };
    Toleration::read(text("key")?, text("operator")?.as_deref(), text("value")?, text("effect")?, seconds)
}
