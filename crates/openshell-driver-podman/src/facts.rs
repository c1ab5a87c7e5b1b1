//! What a service can do, asked of it only where a request depends on the answer.

use std::path::PathBuf;

use openshell_driver_api::DriverError;
use openshell_driver_common::container::gpu::Offer;

use crate::devices;
use crate::engine::{Engine, Info};
use crate::network::may_lose_isolation;

/// A service's own description, as far as requests depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it runs as a user that is not root.
    pub(crate) rootless: bool,
    /// The control groups' controllers that it may use, by which containers are held to limits.
    pub(crate) controllers: Vec<String>,
    /// The OCI runtime that runs all of its containers: what a request says about that goes unheard.
    pub(crate) runtime: String,
    /// Whether it tells which containers ran out of memory: the monitor that it starts hears of that on cgroup v2 alone.
    pub(crate) tells_memory: bool,
    /// Whether sandboxes on bridges of their own may come to reach each other.
    pub(crate) may_lose_isolation: bool,
    /// Its storage driver, and the file system below.
    pub(crate) storage: (String, String),
    /// Where it keeps everything, and its socket.
    pub(crate) kept: Vec<PathBuf>,
    /// Its host's GPUs.
    pub(crate) gpus: Offer,
}

impl Facts {
    /// Asks the service, and looks at the descriptions of its host's devices.
    ///
    /// # Errors
    /// Those of the service; `Unavailable` when it is away.
    pub(crate) async fn of(engine: &Engine) -> Result<Self, DriverError> {
        let info = engine.info().await?;
        let gpus = tokio::task::spawn_blocking(devices::offer).await.unwrap_or_else(|_| devices::none());
        let mut facts = Self::read(info, gpus);
        facts.kept.push(engine.socket().to_owned());
        Ok(facts)
    }

    fn read(info: Info, gpus: Offer) -> Self {
        let backing = info.store.backing().to_owned();
        let paths = [info.store.graph_root, info.store.run_root, info.store.volume_path];
        Self {
            may_lose_isolation: may_lose_isolation(&info.host),
            rootless: info.host.security.rootless,
            controllers: info.host.cgroup_controllers,
            runtime: info.host.oci_runtime.name,
            tells_memory: info.host.cgroup_version != "v1",
            storage: (info.store.graph_driver_name, backing),
            kept: paths.into_iter().filter(|path| !path.is_empty()).map(PathBuf::from).collect(),
            gpus,
        }
    }

    /// Whether it can hold containers to a limit of this kind. One with root can always.
    pub(crate) fn limits(&self, controller: &str) -> bool {
        !self.rootless || self.controllers.iter().any(|known| known == controller)
    }

    /// Whether it can hold a container's files to a size, as far as it says.
    ///
    /// Source: `containers-storage.conf(5)`, `size` of the overlay and btrfs drivers.
    pub(crate) fn has_quota(&self) -> bool {
        match self.storage.0.as_str() {
            "btrfs" | "zfs" => true,
            // And mounted with `pquota`, which the service does not tell: it refuses by itself.
            "overlay" => self.storage.1 == "xfs",
            _ => false,
        }
    }
}

/// Those of a service that was not asked, for requests that do not depend on them.
impl Default for Facts {
    fn default() -> Self {
        let storage = ("overlay".to_owned(), "extfs".to_owned());
        Self {
            rootless: false,
            controllers: Vec::new(),
            runtime: String::new(),
            tells_memory: true,
            may_lose_isolation: false,
            storage,
            kept: Vec::new(),
            gpus: devices::none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Facts {
        Facts::read(serde_json::from_str(json).expect("a service's reply"), devices::none())
    }

    #[test]
    fn a_service_of_4_3() {
        let facts = read(
            r#"{"host": {"cgroupControllers": ["cpu", "pids"], "security": {"rootless": true}},
                "store": {"graphDriverName": "overlay", "graphRoot": "/s", "runRoot": "/r", "volumePath": "/s/v",
                          "graphStatus": {"Backing Filesystem": "extfs"}}}"#,
        );
        assert!(facts.rootless && !facts.has_quota());
        assert!(facts.limits("cpu") && !facts.limits("memory"));
        assert_eq!(facts.kept, ["/s", "/r", "/s/v"].map(PathBuf::from));
        assert!(Facts::default().limits("memory"), "with root all are");
    }

    #[test]
    fn which_storage_has_quotas() {
        for (driver, backing, has) in [
            ("overlay", "extfs", false),
            ("overlay", "xfs", true),
            ("btrfs", "btrfs", true),
            ("vfs", "", false),
        ] {
            let facts = Facts { storage: (driver.into(), backing.into()), ..Facts::default() };
            assert_eq!(facts.has_quota(), has, "{driver} on {backing}");
        }
    }
}
