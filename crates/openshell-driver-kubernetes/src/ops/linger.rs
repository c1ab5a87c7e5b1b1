//! Pods that are there in name only: kubelets before 1.22 keep one for a minute and more after its processes have ended.
//!
//! Whoever deletes a pod by force takes its name away while it may run still, and then its volume is in two hands. So that
//! is done where the cluster is that old, and there only once the pod's own kubelet has said that
//! its containers have ended or could not be made, or that it has begun to kill them and they had all of their time
//! since. Of a kubelet that is silent nobody knows: its pods stay, and the call says so.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Error;
use kube::api::ListParams;
use kube::core::ObjectMeta;
use tokio::time::Instant;

use crate::calls::Calls;
use crate::state;

/// How long a pod is left to its kubelet after its processes must have ended.
const LINGER: Duration = Duration::from_secs(2);
/// How long it is left alone at first: most go in that time.
const QUIET: Duration = Duration::from_millis(500);

/// A pod that was asked to go.
pub(super) struct Lingering {
    /// How long its processes are given; `None` for what has none.
    grace: Option<Duration>,
    asked: Instant,
    /// Since when its kubelet is known to kill it.
    killed: Option<Instant>,
}

impl Lingering {
    /// It was asked just now, when it was as `before` says: kubelets may hold on to the longer time that somebody else
    /// gave it.
    pub(super) fn new(grace: Option<u32>, before: &ObjectMeta) -> Self {
        let earlier = before.deletion_timestamp.as_ref().and(before.deletion_grace_period_seconds);
        let earlier = Duration::from_secs(earlier.and_then(|time| time.try_into().ok()).unwrap_or_default());
        let grace = grace.map(|grace| Duration::from_secs(grace.into()).max(earlier));
        Self { grace, asked: Instant::now(), killed: None }
    }

    /// Whether nothing of it runs any more, as far as its kubelet has said.
    pub(super) async fn is_over(&mut self, calls: &Calls, meta: &ObjectMeta) -> Result<bool, Error> {
        let (Some(grace), Some(_)) = (self.grace, &meta.deletion_timestamp) else { return Ok(false) };
        let (Some(uid), Some(name)) = (&meta.uid, &meta.name) else { return Ok(false) };
        if self.asked.elapsed() < QUIET {
            return Ok(false);
        }
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        if self.killed.is_none() && begins_to_kill(calls, namespace, uid).await? {
            self.killed = Some(Instant::now());
        }
        let due = grace + LINGER;
        if self.killed.is_some_and(|since| since.elapsed() >= due) {
            return Ok(true);
        }
        if self.asked.elapsed() < due {
            return Ok(false);
        }
        let pod = Calls::within(calls.pods(namespace).get_opt(name)).await?;
        Ok(pod.is_some_and(|pod| pod.metadata.uid.as_ref() == Some(uid) && is_ended(&pod)))
    }
}

/// Whether a kubelet has said that all containers of a pod have ended, or why none could be made. One that is about to
/// make them has said nothing yet.
fn is_ended(pod: &Pod) -> bool {
    !state::runs(pod) && state::is_settled(pod)
}

/// Whether the kubelet has said of a pod that it kills its containers.
async fn begins_to_kill(calls: &Calls, namespace: &str, uid: &str) -> Result<bool, Error> {
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid},reason=Killing"));
    let listed = calls.all::<Event>(&calls.events_of(namespace), false, &about).await?;
    Ok(!listed.items.is_empty())
}
