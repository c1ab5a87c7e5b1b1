//! Volumes that outlive their sandboxes: made when the first one names them, kept when the last one goes.

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptions;
use openshell_driver_api::{DriverError, ErrorKind};
use openshell_driver_common::container::mounts::NamedVolume;

use crate::engine::Engine;
use crate::error;

/// Sees to it that a volume is there; one that was not is put into `fresh` before it is made.
///
/// # Errors
/// `FailedPrecondition` for one of that name that is not this gateway's: whoever made it may have pointed it anywhere.
pub(crate) async fn ensure(
    engine: &Engine,
    volume: &NamedVolume,
    fresh: &mut Vec<NamedVolume>,
) -> Result<(), DriverError> {
    match engine.docker.inspect_volume(&volume.name).await {
        Ok(_) => {}
        Err(error) if error::status(&error) == Some(404) => fresh.push(volume.clone()),
        Err(error) => return Err(error::engine("inspect volume", error)),
    }
    // Also where it is there: the engine answers with the one that is, whoever has made it meanwhile.
    let request = VolumeCreateRequest {
        name: Some(volume.name.clone()),
        driver: Some("local".to_owned()),
        labels: Some(volume.labels.clone()),
        ..VolumeCreateRequest::default()
    };
    let found =
        engine.docker.create_volume(request).await.map_err(|error| error::engine("create volume", error))?;
    let ours = volume.labels.iter().all(|(key, value)| found.labels.get(key) == Some(value));
    if !ours || !found.options.is_empty() {
        let message = format!("the volume `{}` is there and was not made by this gateway", volume.name);
        return Err(DriverError::new(ErrorKind::FailedPrecondition, "create volume", message));
    }
    Ok(())
}

/// Removes the volumes that a failed create had made, unless somebody uses them by now.
pub(crate) async fn take_back(engine: &Engine, fresh: &[NamedVolume]) -> Result<(), DriverError> {
    for volume in fresh {
        match engine.docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await {
            Err(error) if !matches!(error::status(&error), Some(404 | 409)) => {
                return Err(error::engine("remove volume", error));
            }
            _ => {}
        }
    }
    Ok(())
}
