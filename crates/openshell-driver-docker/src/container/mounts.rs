//! Mounts that were found good, in the engine's words, and those of the supervisor.

use bollard::models::{Mount, MountBindOptions, MountTmpfsOptions, MountType, MountVolumeOptions};
use openshell_driver_common::container::mounts::{Mounted, What};

/// One of them.
pub(super) fn mount(mounted: Mounted) -> Mount {
    let base = Mount { target: Some(mounted.target), ..Mount::default() };
    match mounted.what {
        // The engine adds `nosuid`, `nodev` and `noexec` by itself, in every version.
        What::Tmpfs { size, mode } => Mount {
            typ: Some(MountType::TMPFS),
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: Some(size),
                mode: mode.map(i64::from),
                options: None,
            }),
            ..base
        },
        // Where it goes away between its making and the container's, the engine makes it anew.
        What::Volume { name, labels, read_only } => Mount {
            typ: Some(MountType::VOLUME),
            source: Some(name),
            read_only: Some(read_only),
            volume_options: Some(MountVolumeOptions {
                labels: Some(labels),
                ..MountVolumeOptions::default()
            }),
            ..base
        },
        What::Bind { source, read_only } => bind(source, base, read_only),
    }
}

/// A file or a directory of the host's, read-only.
pub(super) fn read_only(source: &str, target: String) -> Mount {
    bind(source.to_owned(), Mount { target: Some(target), ..Mount::default() }, true)
}

/// What is mounted below on the host was not looked at, and would stay writable.
fn bind(source: String, base: Mount, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions { non_recursive: Some(true), ..MountBindOptions::default() }),
        ..base
    }
}
