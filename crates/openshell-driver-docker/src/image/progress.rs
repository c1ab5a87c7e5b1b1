//! How far a pull is: the engine's lines about single layers, added up.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;

/// How far a pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// How many layers are known so far.
    pub(crate) layers: usize,
    /// How many of them are unpacked, or were there already.
    pub(crate) layers_done: usize,
    /// Compressed bytes that have come.
    pub(crate) bytes: u64,
    /// Of how many, as far as the engine has said; it grows as layers begin.
    pub(crate) bytes_total: u64,
}

/// The layers of a pull, by the ids under which the engine speaks of them.
#[derive(Debug, Default)]
pub(super) struct Layers(BTreeMap<String, Layer>);

#[derive(Debug, Default)]
struct Layer {
    bytes: u64,
    total: u64,
    done: bool,
}

impl Layers {
    /// Takes a line of a pull in and gives where it is now. Lines that are about no layer change nothing.
    ///
    /// Source of the words: `distribution/pull_v2.go` and `distribution/xfer/download.go` of the Moby project.
    pub(super) fn take(&mut self, line: &CreateImageInfo) -> Progress {
        if let (Some(id), Some(status)) = (&line.id, &line.status) {
            self.layer(id, status, line);
        }
        let mut progress = Progress { layers: self.0.len(), ..Progress::default() };
        for layer in self.0.values() {
            progress.layers_done += usize::from(layer.done);
            progress.bytes += layer.bytes;
            progress.bytes_total += layer.total;
        }
        progress
    }

    fn layer(&mut self, id: &str, status: &str, line: &CreateImageInfo) {
        let known = ["Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum", "Download complete"];
        let done = matches!(status, "Pull complete" | "Already exists");
        if !done && status != "Extracting" && !known.contains(&status) && !status.starts_with("Retrying in") {
            return;
        }
        let layer = self.0.entry(id.to_owned()).or_default();
        layer.done |= done;
        let detail = line.progress_detail.as_ref();
        let number =
            |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default();
        match status {
            // A retry begins from the start, so this may go down.
            "Downloading" => {
                layer.bytes = number(detail.and_then(|detail| detail.current));
                layer.total = number(detail.and_then(|detail| detail.total)).max(layer.bytes);
            }
            "Verifying Checksum" | "Download complete" | "Pull complete" => layer.bytes = layer.total,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn line(id: &str, status: &str, bytes: Option<(i64, i64)>) -> CreateImageInfo {
        let detail =
            bytes.map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) });
        CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: detail,
            ..CreateImageInfo::default()
        }
    }

    #[test]
    fn lines_add_up() {
        let mut layers = Layers::default();
        let mut last = (0, 0, 0, 0);
        for (line, expected) in [
            (line("1", "Pulling from openshell-test/busybox", None), (0, 0, 0, 0)),
            (line("a", "Already exists", None), (1, 1, 0, 0)),
            (line("b", "Pulling fs layer", None), (2, 1, 0, 0)),
            (line("b", "Downloading", Some((10, 100))), (2, 1, 10, 100)),
            (line("c", "Downloading", Some((5, -1))), (3, 1, 15, 105)),
            (line("b", "Retrying in 1 second", None), (3, 1, 15, 105)),
            (line("b", "Downloading", Some((4, 100))), (3, 1, 9, 105)),
            (line("b", "Download complete", None), (3, 1, 105, 105)),
            (line("b", "Extracting", Some((3, 100))), (3, 1, 105, 105)),
            (line("b", "Pull complete", None), (3, 2, 105, 105)),
            (
                CreateImageInfo { status: Some("Digest: sha256:ff".into()), ..Default::default() },
                (3, 2, 105, 105),
            ),
        ] {
            let progress = layers.take(&line);
            last = (progress.layers, progress.layers_done, progress.bytes, progress.bytes_total);
            assert_eq!(last, expected, "{line:?}");
        }
        assert_eq!(last.0, 3);
    }
}
