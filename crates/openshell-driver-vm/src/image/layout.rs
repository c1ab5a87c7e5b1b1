//! An image as a set of named files: an OCI layout, in a directory or in an archive, and what `docker save` writes.
//!
//! Source: "OCI Image Layout Specification" 1.0; "Docker Image Specification v1.2", "Combined Image JSON + Filesystem
//! Changeset Format".

use openshell_driver_common::container::image::split;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::layers::{Check, Found, Layer};
use super::manifest::{Configuration, Descriptor, Document, MAX_DOCUMENT, choose};
use super::stream::{Slice, digest_text};
use super::trouble::{Trouble, shown};

/// How many indexes lead to an image at most.
const INDEXES: usize = 4;

/// Files by their names.
pub(super) trait Files {
    /// A file's bytes; `None` when there is no such file.
    fn open(&self, name: &str) -> Result<Option<Slice>, Trouble>;
}

/// The image of an OCI layout that `reference` means.
pub(super) fn oci(files: &dyn Files, reference: &str) -> Result<Found, Trouble> {
    let index = document(files, "index.json")?.ok_or_else(|| missing("index.json"))?;
    let Document::Index(mut list) = Document::read(&index)? else {
        return Err(Trouble::Image("its `index.json` is no index".into()));
    };
    // One layout may hold several images, each with the reference or the tag that it was given.
    let named = |descriptor: &&Descriptor| {
        descriptor.name().is_some_and(|name| name == reference || name == split(reference).1)
    };
    if let Some(found) = list.iter().find(named).cloned() {
        list = vec![found];
    }
    for _ in 0..INDEXES {
        let chosen = if let [only] = list.as_slice() { only.clone() } else { choose(&list)?.clone() };
        let bytes = vouched(files, &chosen)?;
        match Document::read(&bytes)? {
            Document::Index(inner) => list = inner,
            Document::Manifest { config, layers } => {
                let configuration = Configuration::read(&vouched(files, &config)?)?;
                let layers = layers.iter().map(|layer| {
                    Ok(Layer { bytes: blob(files, layer)?, check: Check::Packed(layer.digest.clone()) })
                });
                let layers = layers.collect::<Result<_, Trouble>>()?;
                return Ok(Found { digest: Some(chosen.digest), runs: configuration.runs, layers });
            }
        }
    }
    Err(Trouble::Image(format!("more than {INDEXES} indexes lead to it")))
}

/// The image of a `docker save` that `reference` means.
pub(super) fn docker_save(files: &dyn Files, reference: &str) -> Result<Found, Trouble> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Saved {
        config: String,
        #[serde(default)]
        repo_tags: Option<Vec<String>>,
        #[serde(default)]
        layers: Vec<String>,
    }
    let manifest = document(files, "manifest.json")?.ok_or_else(|| missing("manifest.json"))?;
    let saved: Vec<Saved> = serde_json::from_slice(&manifest)
        .map_err(|error| Trouble::Image(format!("its `manifest.json` makes no sense: {error}")))?;
    let tags = |saved: &Saved| saved.repo_tags.clone().unwrap_or_default();
    let image = match saved.as_slice() {
        [only] => only,
        several => {
            several.iter().find(|saved| tags(saved).iter().any(|tag| tag == reference)).ok_or_else(|| {
                let tags = several.iter().flat_map(tags).collect::<Vec<_>>().join(", ");
                let count = several.len();
                Trouble::Image(format!(
                    "it holds {count} images, and none is called so: {}",
                    shown(tags.as_bytes())
                ))
            })?
        }
    };
    let bytes = document(files, &image.config)?.ok_or_else(|| missing(&image.config))?;
    let configuration = Configuration::read(&bytes)?;
    if configuration.diff_ids.len() != image.layers.len() {
        let (said, there) = (configuration.diff_ids.len(), image.layers.len());
        return Err(Trouble::Image(format!("its configuration names {said} layers, and it brings {there}")));
    }
    let layers = image.layers.iter().zip(&configuration.diff_ids).map(|(name, diff_id)| {
        let bytes = files.open(name)?.ok_or_else(|| missing(name))?;
        Ok(Layer { bytes, check: Check::Unpacked(diff_id.clone()) })
    });
    let layers = layers.collect::<Result<_, Trouble>>()?;
    Ok(Found { digest: Some(digest_text(&Sha256::digest(&bytes))), runs: configuration.runs, layers })
}

/// A small file's whole bytes.
fn document(files: &dyn Files, name: &str) -> Result<Option<Vec<u8>>, Trouble> {
    let Some(slice) = files.open(name)? else { return Ok(None) };
    let length = slice.len();
    if length > MAX_DOCUMENT {
        return Err(Trouble::Image(format!("its `{}` has {length} bytes", shown(name.as_bytes()))));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let count = slice.peek(&mut bytes).map_err(Trouble::host("read it"))?;
    bytes.truncate(count);
    Ok(Some(bytes))
}

/// A document whose bytes are those that its descriptor names.
fn vouched(files: &dyn Files, descriptor: &Descriptor) -> Result<Vec<u8>, Trouble> {
    let name = path(descriptor);
    let bytes = document(files, &name)?.ok_or_else(|| missing(&name))?;
    let found = digest_text(&Sha256::digest(&bytes));
    if found == descriptor.digest {
        Ok(bytes)
    } else {
        Err(Trouble::Digest { what: format!("its `{name}`"), found, wanted: descriptor.digest.clone() })
    }
}

fn blob(files: &dyn Files, descriptor: &Descriptor) -> Result<Slice, Trouble> {
    let name = path(descriptor);
    files.open(&name)?.ok_or_else(|| missing(&name))
}

fn path(descriptor: &Descriptor) -> String {
    format!("blobs/{}", descriptor.digest.replacen(':', "/", 1))
}

fn missing(name: &str) -> Trouble {
    Trouble::Image(format!("it has no `{}`", shown(name.as_bytes())))
}
