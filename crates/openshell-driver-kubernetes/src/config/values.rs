//! What the values of single keys may be: pure, text by text.

use openshell_driver_api::quantity::Quantity;
use openshell_driver_common::config::Problem;
use openshell_driver_common::container::{image as references, values as shared};

use super::Workload;
use crate::names::{self, is_dns_label, is_dns_name, is_qualified};

/// The word in a template that stands for the workspace.
const WORKSPACE: &str = "{workspace}";

/// The name of a workspace's namespace, with a place for the workspace's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    before: String,
    after: String,
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// When it has no place for the workspace or more than one, or when no namespace could be called so.
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let hint = || Some(format!("namespace_template = \"openshell-{WORKSPACE}\""));
        let Some((before, after)) = text.split_once(WORKSPACE) else {
            return Err((
                format!("does not hold `{WORKSPACE}`: all workspaces would be one namespace"),
                hint(),
            ));
        };
        // Less than this and names would be cut beyond recognition.
        if text.len() > 30 + WORKSPACE.len() || !is_dns_label(&format!("{before}w{after}")) {
            let problem = format!(
                "is not lower-case letters, digits and `-` around one `{WORKSPACE}`, at most 30 long"
            );
            return Err((problem, hint()));
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// The namespace of a workspace.
    pub(crate) fn name(&self, workspace: &str) -> String {
        let Self { before, after } = self;
        format!("{before}{}{after}", names::part(workspace, 63 - before.len() - after.len()))
    }
}

pub(super) fn workload(text: &str) -> Result<Workload, Problem> {
    match text {
        "pod" => Ok(Workload::Pod),
        "agent-sandbox" => Ok(Workload::AgentSandbox),
        _ => Err(("is neither `pod` nor `agent-sandbox`".to_owned(), Some("workload = \"pod\"".to_owned()))),
    }
}

pub(super) fn context(text: &str) -> Result<String, Problem> {
    if text.is_empty() {
        return Err(("names no context".to_owned(), Some("kubectl config get-contexts".to_owned())));
    }
    Ok(text.to_owned())
}

pub(super) fn namespace(text: &str) -> Result<String, Problem> {
    if is_dns_label(text) {
        return Ok(text.to_owned());
    }
    Err(("is not the name of a namespace".to_owned(), Some("namespace = \"openshell\"".to_owned())))
}

pub(super) fn image(text: &str) -> Result<String, Problem> {
    references::check(text).map(|()| text.to_owned()).map_err(|problem| (problem, None))
}

/// The cluster's own words; those of container engines are answered with them.
pub(super) fn pull_policy(key: &str, text: &str) -> Result<&'static str, Problem> {
    let hint = |word: &str| Some(format!("{key} = \"{word}\""));
    let nearest = match text {
        "Always" => return Ok("Always"),
        "IfNotPresent" => return Ok("IfNotPresent"),
        "Never" => return Ok("Never"),
        "always" | "newer" => "Always",
        "never" => "Never",
        _ => "IfNotPresent",
    };
    Err(("is none of `Always`, `IfNotPresent`, `Never`".to_owned(), hint(nearest)))
}

pub(super) fn access_mode(text: &str) -> Result<&'static str, Problem> {
    match text {
        "ReadWriteOnce" => Ok("ReadWriteOnce"),
        "ReadWriteOncePod" => Ok("ReadWriteOncePod"),
        "ReadWriteMany" => Ok("ReadWriteMany"),
        _ => Err((
            "is none of `ReadWriteOnce`, `ReadWriteOncePod`, `ReadWriteMany`".to_owned(),
            Some("access_mode = \"ReadWriteOnce\"".to_owned()),
        )),
    }
}

/// `deny-ingress` or `none`.
pub(super) fn network_policy(text: &str) -> Result<bool, Problem> {
    match text {
        "deny-ingress" => Ok(true),
        "none" => Ok(false),
        _ => Err((
            "is neither `deny-ingress` nor `none`".to_owned(),
            Some("network_policy = \"deny-ingress\"".to_owned()),
        )),
    }
}

/// The name of an object of the cluster, for keys that take one or several.
pub(super) fn object(key: &str, text: &str) -> Result<String, Problem> {
    if is_dns_name(text) {
        return Ok(text.to_owned());
    }
    let hint = Some("lower-case letters, digits, `-` and `.`".to_owned());
    Err((format!("is not a name that `{key}` could hold"), hint))
}

pub(super) fn taint(text: &str) -> Result<String, Problem> {
    if is_qualified(text) {
        return Ok(text.to_owned());
    }
    Err(("is not the key of a taint".to_owned(), Some("tolerable_taints = [\"nvidia.com/gpu\"]".to_owned())))
}

/// An extended resource: one with a domain, which is what tells it from CPU and memory.
pub(super) fn resource(text: &str) -> Result<String, Problem> {
    let is_ours = |domain: &str| domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    match text.split_once('/') {
        Some((domain, _)) if is_qualified(text) && !is_ours(domain) => Ok(text.to_owned()),
        _ => Err((
            "is not an extended resource, `vendor/name`".to_owned(),
            Some("gpu_resources = [\"nvidia.com/gpu\"]".to_owned()),
        )),
    }
}

/// A domain with `/`, for all annotations under it, or one annotation's key.
pub(super) fn annotations(text: &str) -> Result<String, Problem> {
    let good = match text.strip_suffix('/') {
        Some(domain) => is_dns_name(domain),
        None => text.contains('/') && is_qualified(text),
    };
    let ours = text.starts_with("openshell.ai/");
    if good && !ours {
        return Ok(text.to_owned());
    }
    let problem = if ours { "is the driver's own" } else { "is neither `domain/` nor `domain/name`" };
    Err((problem.to_owned(), Some("annotations = [\"example.com/\"]".to_owned())))
}

pub(super) fn capability(text: &str) -> Result<String, Problem> {
    shared::capability(text)
}

/// A quantity that is not nothing.
pub(super) fn size(key: &str, text: &str) -> Result<String, Problem> {
    match text.parse::<Quantity>() {
        Ok(quantity) if !quantity.is_zero() => Ok(text.to_owned()),
        Ok(_) => Err(("is nothing".to_owned(), Some(format!("{key} = \"10Gi\"")))),
        Err(error) => Err((format!("is not a size: {}", error.problem), Some(format!("{key} = \"10Gi\"")))),
    }
}

/// CPU or memory.
pub(super) fn quantity(key: &str, text: &str) -> Result<String, Problem> {
    let example = if key.starts_with("cpu") { "500m" } else { "512Mi" };
    match text.parse::<Quantity>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err((format!("is not a quantity: {}", error.problem), Some(format!("{key} = \"{example}\""))))
        }
    }
}
