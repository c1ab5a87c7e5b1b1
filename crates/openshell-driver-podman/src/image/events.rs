//! What is told about an image while a sandbox is made: the driver's platform events.

use std::collections::BTreeMap;

use openshell_driver_api::PlatformEvent;
use openshell_driver_common::operations::{Kind, said};

use super::pull::Progress;

/// Which part of the backend speaks.
const SOURCE: &str = "podman";

/// A step on the way to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A pull begins, or one that has begun is joined.
    Pulling,
    /// It goes on.
    Progress(Progress),
    /// It is done.
    Pulled,
    /// It failed, and the local image is used as the policy says.
    Kept(String),
    /// It failed.
    Failed(String),
}

/// A step as an event of a sandbox.
pub(crate) fn event(image: &str, step: Step) -> PlatformEvent {
    let mut metadata = BTreeMap::from([("image".to_owned(), image.to_owned())]);
    let (kind, reason, message) = match step {
        Step::Pulling => (Kind::Normal, "ImagePulling", format!("pulling image `{image}`")),
        Step::Progress(Progress { layers, step }) => {
            metadata.insert("layers".to_owned(), layers.to_string());
            let message = format!("pulling image `{image}`: {layers} layers so far; {step}");
            (Kind::Normal, "ImagePullProgress", message)
        }
        Step::Pulled => (Kind::Normal, "ImagePulled", format!("pulled image `{image}`")),
        Step::Kept(problem) => (Kind::Warning, "ImageKept", format!("{problem}; the engine's own is used")),
        Step::Failed(problem) => (Kind::Warning, "ImagePullFailed", problem),
    };
    PlatformEvent { metadata, ..said(SOURCE, kind, reason, message) }
}

/// An event of this driver about a sandbox, of kind `Normal`, with nothing but words.
pub(crate) fn normal(reason: &str, message: &str) -> PlatformEvent {
    said(SOURCE, Kind::Normal, reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_carries_its_numbers() {
        let progress = Progress { layers: 3, step: "Copying blob sha256:aa".into() };
        let event = event("a:1", Step::Progress(progress));
        assert_eq!((event.kind.as_str(), event.reason.as_str()), ("Normal", "ImagePullProgress"));
        assert_eq!(event.metadata["layers"], "3");
        assert!(event.message.ends_with("Copying blob sha256:aa"), "{}", event.message);
    }
}
