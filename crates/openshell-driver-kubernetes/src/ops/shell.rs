//! A sandbox that names no command runs its image's, and where the image has none a shell. That an image has none only the
//! node knows, and says so once it tried: then the pod is made again. Neither a create nor a start waits for that.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use openshell_driver_api::DriverError;
use openshell_driver_common::locks::Turn;
use tokio::time::{Instant, sleep};

use super::Removal;
use super::create::{failed, removal};
use crate::calls::{Calls, FIELD_MANAGER};
use crate::driver::Inner;
use crate::record::{self, Record, State};
use crate::{plan, state};

/// How long a container is watched whose command is its image's own: as long as an image may take to be pulled. A start
/// looks again.
const FIRST_LOOK: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(200);
/// How often what fails here is tried, and how far apart.
const TRIES: u32 = 5;
const APART: Duration = Duration::from_secs(1);

impl Inner {
    /// Sees a pod that brings no command through its first moments, and notes that it is made. Nobody hears of a failure
    /// but the log: the sandbox is there, and what holds it is in its conditions.
    pub(super) async fn see_to_command(&self, mut pod: Pod, mut record: Record, turn: Turn) {
        let work = async {
            for attempt in 1..=TRIES {
                let error = match self.settle(&mut pod, &mut record).await {
                    Ok(()) => return,
                    Err(error) => error,
                };
                if attempt == TRIES {
                    let id = &record.identity.id;
                    tracing::warn!(sandbox = %id, %error, "a sandbox without a command may lack a shell; a start gives it");
                }
                sleep(APART * attempt).await;
            }
        };
        tokio::select! {
            () = work => {}
            // A delete or a stop has come: the work is for nothing.
            () = turn.hurried() => {}
        }
    }

    async fn settle(&self, pod: &mut Pod, record: &mut Record) -> Result<(), DriverError> {
        let deadline = Instant::now() + FIRST_LOOK;
        loop {
            let found = self.calls.pod(record).await.map_err(|error| failed("get pod", error))?;
            match found {
                Some(found) if state::lacks_command(&found) => {
                    self.give_shell(pod, record).await?;
                    let mine = self.is_of(&record.identity.id);
                    let removal = Removal { grace: Some(1), ..removal("pod", &record.name, &mine) };
                    self.remove(&self.calls.pods(&record.namespace), &removal).await?;
                    self.make_pod(pod, record).await?;
                    break;
                }
                Some(found) if !state::is_settled(&found) && Instant::now() < deadline => sleep(LOOK).await,
                // Removed after it was given a shell, by a try that failed then.
                None if !plan::brings_no_command(pod) => {
                    self.make_pod(pod, record).await?;
                    break;
                }
                // What is wrong with it else is the watch's to tell.
                _ => break,
            }
        }
        self.transition(record, State::Running, None).await.map_err(|error| failed("note creation", error))
    }

    /// Makes the shell a pod's command, for this and for every later start.
    pub(super) async fn give_shell(&self, pod: &mut Pod, record: &Record) -> Result<(), DriverError> {
        plan::give_shell(pod);
        let kept = serde_json::json!({ "data": record::keep(pod)? });
        let configs = self.calls.configs(&record.namespace);
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(&kept);
        let kept = Calls::within(configs.patch_metadata(&record.name, &params, &patch)).await;
        kept.map(drop).map_err(|error| failed("keep manifest", error))
    }
}
