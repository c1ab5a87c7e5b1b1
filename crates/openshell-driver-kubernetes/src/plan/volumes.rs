//! What is mounted into a sandbox: its workspace, its token, memory, and claims that it asked for.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use openshell_driver_common::container::files::{TOKEN_DIRECTORY, WORKSPACE};

use super::secret::{CA_KEY, TOKEN_KEY};
use crate::asked::{Asked, Kind, Mount};
use crate::config::{Config, Storage};

/// The volume that is the workspace.
pub(crate) const WORKSPACE_VOLUME: &str = "workspace";
/// The volume that holds the token.
pub(super) const TOKEN_VOLUME: &str = "token";
/// The volume that holds the supervisor and what it reads.
pub(super) const SUPERVISOR_VOLUME: &str = "supervisor";
/// How large that may become: room for the program, however it was built.
const SUPERVISOR_SIZE: i64 = 64 << 20;
/// The owner's alone. A cluster adds the volumes' group where there is one, and takes root for the owner.
const TOKEN_MODE: i32 = 0o400;
/// How large a `/tmp` is where the root cannot be written.
const TMP_SIZE: i64 = 64 << 20;

/// What the workspace is kept on: the operator's word, and a request may want less of it.
///
/// # Errors
/// When a request wants more.
pub(super) fn storage(asked: &Asked, config: &Config) -> Result<Storage, String> {
    let mut storage = config.storage.clone();
    let Some(wanted) = asked.storage_size else { return Ok(storage) };
    let text = wanted.to_string();
    let most = match &mut storage {
        Storage::Claim { size, .. } => Some(std::mem::replace(size, text)),
        Storage::Ephemeral { size } => size.replace(text),
    };
    let bytes = most.as_ref().and_then(|most| most.parse::<openshell_driver_api::quantity::Quantity>().ok());
    match (most, bytes) {
        (Some(most), Some(bytes)) if i128::from(wanted) > i128::from(bytes.units()) => {
            Err(format!("`{wanted}` is above `storage_size` of `[openshell.drivers.kubernetes]`, `{most}`"))
        }
        _ => Ok(storage),
    }
}

/// The claim of a workspace; `None` when it goes with the pod.
pub(super) fn claim(storage: &Storage, metadata: &ObjectMeta) -> Option<PersistentVolumeClaim> {
    let Storage::Claim { class, size, access_mode } = storage else { return None };
    Some(PersistentVolumeClaim {
        metadata: metadata.clone(),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![(*access_mode).to_owned()]),
            storage_class_name: class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(size.clone()))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}

/// What the gateway gives to a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given<'a> {
    /// A token.
    pub(super) token: bool,
    /// A supervisor, at this path.
    pub(super) supervised: Option<&'a str>,
}

/// The volumes of a pod, and where its container has them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Volumes {
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

impl Volumes {
    /// `name` is that of the sandbox's own claim and secret.
    pub(super) fn new(
        name: &str,
        storage: &Storage,
        config: &Config,
        asked: &Asked,
        given: Given<'_>,
    ) -> Self {
        let mut all = Self::default();
        let workspace = match storage {
            Storage::Claim { .. } => existing(name, false),
            Storage::Ephemeral { size } => Volume {
                empty_dir: Some(EmptyDirVolumeSource {
                    medium: None,
                    size_limit: size.clone().map(Quantity),
                }),
                ..Volume::default()
            },
        };
        all.add(WORKSPACE_VOLUME, workspace, WORKSPACE, false);
        if let Some(home) = given.supervised {
            // The main container has what the step before it puts there, and not the secret.
            all.add(SUPERVISOR_VOLUME, in_memory(SUPERVISOR_SIZE), home, false);
            let keys = given.token.then_some(TOKEN_KEY).into_iter().chain([CA_KEY]);
            all.volumes.push(Volume { name: TOKEN_VOLUME.to_owned(), ..secret(name, keys) });
        } else if given.token {
            all.add(TOKEN_VOLUME, secret(name, [TOKEN_KEY]), TOKEN_DIRECTORY, true);
        }
        let has_tmp = asked.mounts.iter().any(|mount| mount.target == "/tmp");
        // Hardly a program does without.
        if config.read_only_root && !has_tmp {
            all.add("tmp", in_memory(TMP_SIZE), "/tmp", false);
        }
        for (place, Mount { target, kind }) in asked.mounts.iter().enumerate() {
            let (volume, read_only) = match kind {
                Kind::Tmpfs { size } => (in_memory(*size), false),
                Kind::Claim { name, read_only } => (existing(name, *read_only), *read_only),
            };
            all.add(&format!("mount-{place}"), volume, target, read_only);
        }
        all
    }

    fn add(&mut self, name: &str, volume: Volume, path: &str, read_only: bool) {
        self.volumes.push(Volume { name: name.to_owned(), ..volume });
        self.mounts.push(VolumeMount {
            name: name.to_owned(),
            mount_path: path.to_owned(),
            read_only: read_only.then_some(true),
            ..VolumeMount::default()
        });
    }
}

fn existing(claim: &str, read_only: bool) -> Volume {
    Volume {
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: read_only.then_some(true),
        }),
        ..Volume::default()
    }
}

/// Files of a sandbox's secret, by name: the variables are in there, too.
fn secret(name: &str, keys: impl IntoIterator<Item = &'static str>) -> Volume {
    let item = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: Some(TOKEN_MODE) };
    Volume {
        secret: Some(SecretVolumeSource {
            secret_name: Some(name.to_owned()),
            items: Some(keys.into_iter().map(item).collect()),
            default_mode: Some(TOKEN_MODE),
            optional: None,
        }),
        ..Volume::default()
    }
}

fn in_memory(size: i64) -> Volume {
    Volume {
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity(size.to_string())),
        }),
        ..Volume::default()
    }
}
