//! What an engine can do, asked of it only where a request depends on the answer.

use std::path::PathBuf;

use bollard::models::SystemInfo;
use openshell_driver_api::DriverError;

use crate::engine::Engine;
use crate::error;

/// An engine's own description, as far as requests depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    /// The engine's version (`20.10.24`).
    pub(crate) version: String,
    /// Whether devices of the Container Device Interface can be asked for.
    pub(crate) cdi: bool,
    /// The devices that it knows (`nvidia.com/gpu=0`); `None` from an engine that does not list them.
    pub(crate) devices: Option<Vec<String>>,
    /// The names of its OCI runtimes.
    pub(crate) runtimes: Vec<String>,
    /// Whether every container's root is nobody on the host: `userns-remap`, or an engine without root.
    pub(crate) user_namespaces: bool,
    /// What it keeps containers' files on: `overlay2 on extfs`.
    pub(crate) storage: Storage,
    /// Where it keeps everything.
    pub(crate) data_root: PathBuf,
    /// The Unix socket at which it answers; `None` for an engine that may be on another host.
    pub(crate) socket: Option<PathBuf>,
}

/// What an engine keeps containers' files on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Storage {
    /// The engine's storage driver.
    pub(crate) driver: String,
    /// The file system below it, where that matters.
    pub(crate) backing: String,
}

impl Storage {
    /// Whether it can hold a container to a size, as far as it says.
    ///
    /// Source: `docker run`, "Set storage driver options per container".
    pub(crate) fn has_quota(&self) -> bool {
        match self.driver.as_str() {
            "btrfs" | "zfs" | "devicemapper" | "windowsfilter" => true,
            // And mounted with `pquota`, which the engine does not tell: it refuses by itself.
            "overlay2" => self.backing == "xfs",
            _ => false,
        }
    }
}

impl Facts {
    /// Asks the engine.
    ///
    /// # Errors
    /// Those of the engine; `Unavailable` when it is away.
    pub(crate) async fn of(engine: &Engine) -> Result<Self, DriverError> {
        let info = engine.docker.info().await.map_err(|error| error::engine("describe engine", error))?;
        Ok(Self::read(info, engine.socket.clone()))
    }

    fn read(info: SystemInfo, socket: Option<PathBuf>) -> Self {
        let status = |key: &str| {
            let pairs = info.driver_status.iter().flatten();
            pairs
                .filter_map(|pair| Some((pair.first()?, pair.get(1)?)))
                .find_map(|(name, value)| (name == key).then(|| value.clone()))
        };
        let secured = |name: &str| {
            let options = info.security_options.iter().flatten();
            options.flat_map(|option| option.split(',')).any(|part| part.strip_prefix("name=") == Some(name))
        };
        let devices = info.discovered_devices.map(|devices| {
            let cdi = devices.into_iter().filter(|device| device.source.as_deref() == Some("cdi"));
            cdi.filter_map(|device| device.id).collect()
        });
        let mut runtimes: Vec<String> = info.runtimes.unwrap_or_default().into_keys().collect();
        runtimes.sort();
        Self {
            version: info.server_version.unwrap_or_default(),
            // An engine with the interface switched off, and one from before it, give no directories.
            cdi: info.cdi_spec_dirs.is_some_and(|directories| !directories.is_empty()),
            devices,
            runtimes,
            user_namespaces: secured("userns") || secured("rootless"),
            storage: Storage {
                backing: status("Backing Filesystem").unwrap_or_default(),
                driver: info.driver.unwrap_or_default(),
            },
            data_root: info.docker_root_dir.unwrap_or_default().into(),
            socket,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Facts {
        Facts::read(serde_json::from_str(json).expect("an engine's reply"), None)
    }

    #[test]
    fn an_engine_of_api_1_41() {
        let facts = read(
            r#"{"ServerVersion": "20.10.24", "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]],
                "SecurityOptions": ["name=seccomp,profile=default"], "Runtimes": {"runc": {}, "a": {}},
                "DockerRootDir": "/var/lib/docker"}"#,
        );
        assert!(!facts.cdi && !facts.user_namespaces && !facts.storage.has_quota());
        assert_eq!((facts.devices, facts.runtimes), (None, vec!["a".to_owned(), "runc".to_owned()]));
        assert_eq!((facts.version.as_str(), facts.data_root), ("20.10.24", "/var/lib/docker".into()));
    }

    #[test]
    fn an_engine_of_api_1_50_with_cdi() {
        let facts = read(
            r#"{"ServerVersion": "28.2.2", "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
                "SecurityOptions": ["name=seccomp,profile=builtin", "name=userns"],
                "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}, {"Source": "x", "ID": "y"}]}"#,
        );
        assert!(facts.cdi && facts.user_namespaces);
        assert_eq!(facts.devices, Some(vec!["nvidia.com/gpu=0".to_owned()]));
        assert!(!read(r#"{"CDISpecDirs": []}"#).cdi);
    }

    #[test]
    fn which_storage_has_quotas() {
        for (driver, backing, has) in [
            ("overlay2", "extfs", false),
            ("overlay2", "xfs", true),
            ("btrfs", "btrfs", true),
            ("vfs", "", false),
            ("overlayfs", "", false),
        ] {
            let storage = Storage { driver: driver.into(), backing: backing.into() };
            assert_eq!(storage.has_quota(), has, "{driver} on {backing}");
        }
    }
}
