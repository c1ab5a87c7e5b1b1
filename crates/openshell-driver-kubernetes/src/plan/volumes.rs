//! What is mounted into a sandbox: its workspace, its token, memory, and claims that it asked for.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, KeyToPath, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimVolumeSource, SecretVolumeSource, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use openshell_driver_common::container::files::{TOKEN_DIRECTORY, WORKSPACE};

use super::secret::TOKEN_KEY;
use crate::asked::{Asked, Kind, Mount};
use crate::config::{Config, Storage};

/// The volume that is the workspace.
pub(crate) const WORKSPACE_VOLUME: &str = "workspace";
/// The volume that holds the token.
const TOKEN_VOLUME: &str = "token";
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

/// The volumes of a pod, and where its container has them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Volumes {
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

impl Volumes {
    /// `name` is that of the sandbox's own claim and secret.
    pub(super) fn new(name: &str, storage: &Storage, config: &Config, asked: &Asked, token: bool) -> Self {
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
        if token {
            let source = SecretVolumeSource {
                secret_name: Some(name.to_owned()),
                // By name: the variables are in there, too.
                items: Some(vec![KeyToPath {
                    key: TOKEN_KEY.to_owned(),
                    path: TOKEN_KEY.to_owned(),
                    mode: Some(TOKEN_MODE),
                }]),
                default_mode: Some(TOKEN_MODE),
                optional: None,
            };
            let volume = Volume { secret: Some(source), ..Volume::default() };
            all.add(TOKEN_VOLUME, volume, TOKEN_DIRECTORY, true);
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

fn in_memory(size: i64) -> Volume {
    Volume {
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity(size.to_string())),
        }),
        ..Volume::default()
    }
}
