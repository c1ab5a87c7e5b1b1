//! Images from a registry: its manifest for this machine, its configuration and its layers.
//!
//! ```text
//!   reference ─ resolve ─▶ manifest, by its digest from here on ─ fetch ─▶ blobs in a directory ─▶ Found
//!                 └ client.rs: HTTPS, stalls, redirects; token.rs: who asks; refusal.rs: why not
//! ```
//!
//! Source: "OCI Distribution Specification" 1.1.

mod client;
mod refusal;
mod token;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::credentials::{Accounts, Sources};
use openshell_driver_common::container::image::{HUB, place, split};
use openshell_driver_common::container::pull::{Fault, Tell};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use self::client::{Body, Client};
use super::events::Progress;
use super::layers::{Check, Found, Layer};
use super::manifest::{Configuration, Descriptor, Document, MAX_DOCUMENT, choose, is_digest};
use super::stream::{Slice, digest_text};
use super::trouble::Trouble;
use crate::config::Config;

/// Where Docker Hub's images really are.
const HUB_HOST: &str = "registry-1.docker.io";

/// How many blobs come at the same time.
const ABREAST: usize = 3;

/// Pieces of a blob that wait to be written.
const PIECES: usize = 16;

/// What a manifest may be.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// Registries, asked as the configuration says.
#[derive(Debug)]
pub(super) struct Registry {
    accounts: Accounts,
    insecure: Vec<String>,
}

/// An image of a registry, by its digest.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) digest: String,
    reference: String,
    client: Client,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl Registry {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            accounts: accounts(config.auth_file_path.clone()),
            insecure: config.insecure_registries.clone(),
        }
    }

    /// Asks the registry what a reference means now.
    pub(super) async fn resolve(&self, reference: &str) -> Result<Image, Fault> {
        let (registry, repository) = place(reference);
        let access = self.accounts.of(reference).await.map_err(|problem| {
            let message = format!("cannot pull `{reference}`: {}", problem.message);
            Fault { kind: ErrorKind::FailedPrecondition, message, hint: problem.hint }
        })?;
        let secure = !self.insecure.iter().any(|insecure| insecure == registry);
        let (host, repository) = match registry {
            HUB if !repository.contains('/') => (HUB_HOST, format!("library/{repository}")),
            HUB => (HUB_HOST, repository.to_owned()),
            host => (host, repository.to_owned()),
        };
        let client = Client::new(reference, host, &repository, secure, access)?;
        let failed = |trouble: Trouble| trouble.fault(reference);
        let (_, tag) = split(reference);
        let mut wanted = tag.to_owned();
        // A list, and what it lists.
        for _ in 0..2 {
            let bytes = client.document(&format!("manifests/{wanted}"), ACCEPT, MAX_DOCUMENT).await?;
            let digest = digest_text(&Sha256::digest(&bytes));
            if is_digest(&wanted) && digest != wanted {
                return Err(failed(Trouble::Digest { what: "its manifest".into(), found: digest, wanted }));
            }
            match Document::read(&bytes).map_err(failed)? {
                Document::Index(list) => wanted = choose(&list).map_err(failed)?.digest.clone(),
                Document::Manifest { config, layers } => {
                    return Ok(Image { digest, reference: reference.to_owned(), client, config, layers });
                }
            }
        }
        Err(failed(Trouble::Image("its index lists another index".into())))
    }

    /// Fetches an image's blobs into a directory, for a disk of `size` bytes.
    pub(super) async fn fetch(
        &self,
        image: Image,
        directory: &Path,
        size: u64,
        tell: &Tell<Progress>,
    ) -> Result<Found, Fault> {
        let failed = |trouble: Trouble| trouble.fault(&image.reference);
        let config = image.client.document(&blob(&image.config), "*/*", MAX_DOCUMENT).await?;
        let digest = digest_text(&Sha256::digest(&config));
        if digest != image.config.digest {
            let wanted = image.config.digest;
            return Err(Trouble::Digest { what: "its configuration".into(), found: digest, wanted }
                .fault(&image.reference));
        }
        let configuration = Configuration::read(&config).map_err(failed)?;
        let total = image.layers.iter().fold(0_u64, |total, layer| total.saturating_add(layer.size));
        if total > size {
            return Err(failed(Trouble::TooLarge { size, what: format!("its layers are {total} bytes") }));
        }
        let told = AtomicU64::new(0);
        let progress = |bytes: u64| {
            let bytes = told.fetch_add(bytes, Ordering::Relaxed) + bytes;
            tell.progress(Progress::Fetching { bytes, total });
        };
        progress(0);
        let fetch = |(index, layer): (usize, &Descriptor)| {
            let (layer, client, progress) = (layer.clone(), &image.client, &progress);
            let path = directory.join(index.to_string());
            async move {
                let body = client.blob(&blob(&layer)).await?;
                let file = save(client, body, path, layer.size, progress).await?;
                Ok::<_, Fault>(Layer {
                    bytes: Slice::new(Arc::new(file), 0, layer.size),
                    check: Check::Packed(layer.digest),
                })
            }
        };
        let jobs: Vec<_> = image.layers.iter().enumerate().map(fetch).collect();
        let layers = stream::iter(jobs).buffered(ABREAST).try_collect().await?;
        Ok(Found { digest: Some(image.digest.clone()), runs: configuration.runs, layers })
    }
}

fn blob(descriptor: &Descriptor) -> String {
    format!("blobs/{}", descriptor.digest)
}

/// Writes a body of `size` bytes to a new file without a name, and gives the file.
async fn save(
    client: &Client,
    mut body: Body,
    path: PathBuf,
    size: u64,
    progress: &impl Fn(u64),
) -> Result<File, Fault> {
    let (sender, mut pieces) = mpsc::channel::<bytes::Bytes>(PIECES);
    let writer = tokio::task::spawn_blocking(move || {
        let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
        // It is used through this descriptor alone, and its room is free when that is closed.
        std::fs::remove_file(&path)?;
        while let Some(piece) = pieces.blocking_recv() {
            file.write_all(&piece)?;
        }
        Ok::<_, std::io::Error>(file)
    });
    let mut count = 0;
    while let Some(piece) = client.piece(&mut body).await? {
        count += piece.len() as u64;
        if count > size {
            break;
        }
        progress(piece.len() as u64);
        if sender.send(piece).await.is_err() {
            // The writer could not go on, and says why.
            break;
        }
    }
    drop(sender);
    let written = writer.await.map_err(|error| client.broken(&format!("a blob was not written: {error}")))?;
    let file = written.map_err(|error| client.trouble(Trouble::host("write a blob")(error)))?;
    if count != size {
        return Err(client.broken(&format!("a blob has {count} bytes or more, and its manifest says {size}")));
    }
    Ok(file)
}

/// Credentials of the file that the operator names, else of the first that a user's own programs would read.
///
/// Source: `containers-auth.json(5)`, "FILE LOCATION"; `docker/cli`, "Credential stores".
fn accounts(configured: Option<PathBuf>) -> Accounts {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |below: &str| Some(from("HOME")?.join(below));
    let usual = [
        from("REGISTRY_AUTH_FILE"),
        from("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json")),
        from("DOCKER_CONFIG").or_else(|| home(".docker")).map(|directory| directory.join("config.json")),
    ];
    let sources = Sources {
        usual: usual.into_iter().flatten().collect(),
        key: "auth_file_path in [openshell.drivers.vm]",
        nowhere: "none of REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR and HOME says where some are",
    };
    Accounts::new(configured, sources)
}
