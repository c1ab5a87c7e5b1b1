//! What is told about an image while a sandbox is made: the driver's platform events.

use std::collections::BTreeMap;

use openshell_driver_api::PlatformEvent;
use openshell_driver_common::operations::{Kind, said};

/// Which part of the backend speaks.
const SOURCE: &str = "vm";

/// How far the making of a base is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Progress {
    /// It has been asked for.
    #[default]
    Waiting,
    /// Blobs come from a registry.
    Fetching {
        /// Bytes so far.
        bytes: u64,
        /// Of so many.
        total: u64,
    },
    /// A layer is unpacked.
    Unpacking {
        /// Which, from one on.
        layer: usize,
        /// Of so many.
        layers: usize,
    },
    /// mke2fs runs.
    Disk,
}

/// A step on the way to a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It begins, or one that has begun is joined.
    Pulling,
    /// It goes on.
    Progress(Progress),
    /// It is done.
    Pulled,
    /// It failed, and what was there before is used.
    Kept(String),
    /// It failed.
    Failed(String),
}

/// A step as an event of a sandbox.
pub(super) fn event(image: &str, step: Step) -> PlatformEvent {
    let mut metadata = BTreeMap::from([("image".to_owned(), image.to_owned())]);
    let mut number = |name: &str, value: u64| metadata.insert(name.to_owned(), value.to_string());
    let (kind, reason, message) = match step {
        Step::Pulling => (Kind::Normal, "ImagePulling", format!("preparing image `{image}`")),
        Step::Progress(Progress::Waiting) => {
            (Kind::Normal, "ImagePullProgress", format!("preparing image `{image}`"))
        }
        Step::Progress(Progress::Fetching { bytes, total }) => {
            number("bytes", bytes);
            number("total_bytes", total);
            let message = format!("pulling image `{image}`: {bytes} of {total} bytes");
            (Kind::Normal, "ImagePullProgress", message)
        }
        Step::Progress(Progress::Unpacking { layer, layers }) => {
            number("layer", layer as u64);
            number("layers", layers as u64);
            let message = format!("unpacking image `{image}`: layer {layer} of {layers}");
            (Kind::Normal, "ImageUnpacking", message)
        }
        Step::Progress(Progress::Disk) => {
            (Kind::Normal, "ImageDisk", format!("making a disk of image `{image}`"))
        }
        Step::Pulled => (Kind::Normal, "ImagePulled", format!("image `{image}` is ready")),
        Step::Kept(problem) => (Kind::Warning, "ImageKept", format!("{problem}; the disk of before is used")),
        Step::Failed(problem) => (Kind::Warning, "ImagePullFailed", problem),
    };
    PlatformEvent { metadata, ..said(SOURCE, kind, reason, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_carries_its_numbers() {
        let told = event("a:1", Step::Progress(Progress::Fetching { bytes: 3, total: 4 }));
        assert_eq!((told.kind.as_str(), told.reason.as_str()), ("Normal", "ImagePullProgress"));
        assert_eq!((told.metadata["bytes"].as_str(), told.metadata["total_bytes"].as_str()), ("3", "4"));
        let told = event("a:1", Step::Failed("no".into()));
        assert_eq!((told.kind.as_str(), told.message.as_str()), ("Warning", "no"));
    }
}
