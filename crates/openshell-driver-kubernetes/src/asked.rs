//! What a request may ask of this driver alone: the block `kubernetes` of its `driver_config`, read strictly and judged
//! by what the operator allows.
//!
//! A key that nobody knows is refused by name: a request that believes to have been given something is worse off than
//! one that was told no.

mod mounts;

use std::collections::BTreeMap;

use openshell_driver_api::SandboxRequest;
use openshell_driver_common::config::did_you_mean;
use openshell_driver_common::faults::Faults;
use openshell_driver_common::fields::Fields;
use serde_json::{Map, Value};

pub(crate) use self::mounts::{Kind, Mount};
use crate::config::{Config, TOLERATION_KEYS, Toleration};
use crate::names::{is_label_value, is_qualified};

/// The keys of the block.
const KEYS: &[&str] = &[
    "node_selector",
    "tolerations",
    "runtime_class",
    "priority_class",
    "gpu_resource",
    "gpu_count",
    "annotations",
    "mounts",
    "storage_size",
    "user",
    "group",
];
/// What is asked of any platform and means something here.
const PLATFORM_KEYS: &[&str] = &["runtime_class_name", "annotations", "user_namespaces"];
/// Where the table is, for whoever has to change it.
const TABLE: &str = "`[openshell.drivers.kubernetes]`";
/// How many bytes all annotations of an object may have, ours and the cluster's included.
///
/// Source: "Annotations" in the Kubernetes documentation (256 KiB); the rest is room for those of others.
const MOST_ANNOTATIONS: usize = 192 * 1024;
/// No node has more; a request for more is a mistake.
const MOST_GPUS: u32 = 128;

/// What a sandbox gets besides what every one gets: the operator's settings with the request's on top.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) runtime_class: Option<String>,
    pub(crate) priority_class: Option<String>,
    /// The resource and how many of it.
    pub(crate) gpu: Option<(String, u32)>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) mounts: Vec<Mount>,
    /// A quantity in bytes.
    pub(crate) storage_size: Option<i64>,
    pub(crate) user: Option<i64>,
    pub(crate) group: Option<i64>,
}

impl Asked {
    /// Reads the block and what is asked of any platform, and keeps every fault of form and of right.
    pub(crate) fn read(request: &SandboxRequest, config: &Config, faults: &mut Faults) -> Self {
        let template = &request.spec.template;
        let mut fields = Fields::new("driver_config", &template.driver_config, faults);
        fields.refuse_unknown(KEYS);
        let gpu_resource = fields.text("gpu_resource");
        let gpu_count = fields.integer("gpu_count", 1, i64::from(MOST_GPUS));
        let mut asked = Self {
            node_selector: node_selector(&mut fields, config),
            tolerations: tolerations(&mut fields, config),
            runtime_class: listed(
                &mut fields,
                "runtime_class",
                &config.runtime_class,
                &config.runtime_classes,
            ),
            priority_class: listed(
                &mut fields,
                "priority_class",
                &config.priority_class,
                &config.priority_classes,
            ),
            gpu: None,
            annotations: annotations(&mut fields, &template.driver_config, config),
            mounts: mounts::read(&mut fields, config),
            storage_size: fields.bytes("storage_size"),
            user: number(&mut fields, "user", config.user),
            group: number(&mut fields, "group", config.group),
        };
        asked.platform(&template.platform_config, config, faults);
        let size: usize = asked.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > MOST_ANNOTATIONS {
            faults.add(format!("annotations: {size} bytes, and an object may have {MOST_ANNOTATIONS}"));
        }
        let count = match (request.spec.gpu.map(|gpu| gpu.count), gpu_count) {
            (Some(Some(one)), Some(other)) if i64::from(one) != other => {
                faults.add(format!("gpu: a count of {one}, and `gpu_count` is {other}"));
                None
            }
            (None, None) if gpu_resource.is_none() => None,
            (asked, own) => {
                Some(own.and_then(|own| u32::try_from(own).ok()).or(asked.flatten()).unwrap_or(1))
            }
        };
        asked.gpu = count.and_then(|count| faults.about("gpu", gpu(count, gpu_resource, config)));
        asked
    }

    /// What is asked of any platform; what the driver's own block says too, has to say the same.
    fn platform(&mut self, block: &Map<String, Value>, config: &Config, faults: &mut Faults) {
        let mut fields = Fields::new("platform_config", block, faults);
        for key in block.keys().filter(|key| !PLATFORM_KEYS.contains(&key.as_str())) {
            let hint = did_you_mean(key, PLATFORM_KEYS);
            fields.fault(
                &key.escape_debug().to_string(),
                format!("the kubernetes driver reads no such key; {hint}"),
            );
        }
        let class = "runtime_class_name";
        if let Some(name) = listed(&mut fields, class, &config.runtime_class, &config.runtime_classes) {
            let own = self.runtime_class.get_or_insert_with(|| name.clone());
            if *own != name {
                fields.fault(class, format!("`{name}`, and `driver_config.runtime_class` is `{own}`"));
            }
        }
        self.annotations.extend(annotations(&mut fields, block, config));
        match fields.switch("user_namespaces") {
            Some(wanted) if wanted != config.user_namespaces => {
                let is = if wanted { "not set" } else { "set, for every sandbox" };
                fields.fault("user_namespaces", format!("`user_namespaces` in {TABLE} is {is}"));
            }
            _ => {}
        }
    }
}

/// Labels of nodes besides the operator's, which narrow where the pod may run and never widen it.
fn node_selector(fields: &mut Fields<'_>, config: &Config) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (key, value) in texts(fields, "node_selector") {
        if !is_qualified(&key) || !is_label_value(&value) {
            let (key, value) = (key.escape_debug(), value.escape_debug());
            fields.fault("node_selector", format!("`{key}`: `{value}` is not a label of a node"));
        } else if config.node_selector.get(&key).is_some_and(|set| *set != value) {
            fields.fault("node_selector", format!("`{key}` is set in {TABLE}, for every sandbox"));
        } else {
            labels.insert(key, value);
        }
    }
    labels
}

fn tolerations(fields: &mut Fields<'_>, config: &Config) -> Vec<Toleration> {
    fields.objects("tolerations", |mut item| {
        item.refuse_unknown(TOLERATION_KEYS);
        let (key, operator, value) = (item.text("key"), item.text("operator"), item.text("value"));
        let (effect, seconds) = (item.text("effect"), item.integer("toleration_seconds", 0, i64::MAX));
        let toleration = match Toleration::read(key, operator.as_deref(), value, effect, seconds) {
            Ok(toleration) => toleration,
            Err(problem) => {
                item.fault("key", problem);
                return None;
            }
        };
        let Some(key) = &toleration.key else {
            item.fault("key", "a toleration without a key is one of every taint");
            return None;
        };
        if !config.tolerable_taints.contains(key) {
            item.fault("key", format!("`{key}` is not in `tolerable_taints` of {TABLE}"));
            return None;
        }
        Some(toleration)
    })
}

/// A class that a request names: the operator's own or one of those that are listed.
fn listed(fields: &mut Fields<'_>, key: &str, set: &Option<String>, allowed: &[String]) -> Option<String> {
    let name = fields.text(key)?;
    if set.as_ref() == Some(&name) || allowed.contains(&name) {
        return Some(name);
    }
    let list = if key == "priority_class" { "priority_classes" } else { "runtime_classes" };
    fields.fault(key, format!("`{}` is not in `{list}` of {TABLE}", name.escape_debug()));
    None
}

fn gpu(count: u32, resource: Option<String>, config: &Config) -> Result<(String, u32), String> {
    if count == 0 {
        return Err("a count of 0 asks for none; leave the request out".to_owned());
    }
    if count > MOST_GPUS {
        return Err(format!("more than {MOST_GPUS} are asked for"));
    }
    let Some(first) = config.gpu_resources.first() else {
        return Err(format!(
            "the driver is told of no resource that is a GPU; `gpu_resources = [\"nvidia.com/gpu\"]` in {TABLE} does"
        ));
    };
    match resource {
        None => Ok((first.clone(), count)),
        Some(name) if config.gpu_resources.contains(&name) => Ok((name, count)),
        Some(name) => Err(format!("`{}` is not in `gpu_resources` of {TABLE}", name.escape_debug())),
    }
}

/// Annotations of the pod: a cluster's components take orders by them, so each has to be allowed.
fn annotations(
    fields: &mut Fields<'_>,
    block: &Map<String, Value>,
    config: &Config,
) -> BTreeMap<String, String> {
    if !block.contains_key("annotations") {
        return BTreeMap::new();
    }
    let mut allowed = BTreeMap::new();
    for (key, value) in texts(fields, "annotations") {
        let is_allowed =
            |allowed: &String| *allowed == key || allowed.ends_with('/') && key.starts_with(allowed);
        if !is_qualified(&key) {
            fields.fault("annotations", format!("`{}` is not the key of an annotation", key.escape_debug()));
        } else if !config.annotations.iter().any(is_allowed) {
            fields.fault("annotations", format!("`{key}` is not in `annotations` of {TABLE}"));
        } else {
            allowed.insert(key, value);
        }
    }
    allowed
}

/// The number of a user or a group: any but root's, where the operator has not set one for all.
fn number(fields: &mut Fields<'_>, key: &str, set: Option<i64>) -> Option<i64> {
    let number = fields.integer(key, 1, 2_147_483_647)?;
    match set {
        Some(set) if set != number => {
            fields.fault(key, format!("`{key}` in {TABLE} is `{set}`, for every sandbox"));
            None
        }
        _ => Some(number),
    }
}

/// An object whose values are all texts.
fn texts(fields: &mut Fields<'_>, key: &str) -> Vec<(String, String)> {
    let Some(value) = fields.value(key) else { return Vec::new() };
    let pairs = value.as_object().and_then(|object| {
        let pairs = object.iter().map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        pairs.collect::<Option<Vec<_>>>()
    });
    pairs.unwrap_or_else(|| {
        fields.fault(key, "it is not an object whose values are texts");
        Vec::new()
    })
}

#[cfg(test)]
mod tests;
