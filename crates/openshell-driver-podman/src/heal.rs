//! What the events did not tell: a list of the gateway's containers now and then, compared with the one before.
//!
//! A service loses events where its log begins anew, and has none with `events_logger = "none"`. One list says of every container
//! whether it runs and since when, and takes the service some tenths of a millisecond for each of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_core::Stream;
use futures_util::stream;
use openshell_driver_api::{DriverError, ErrorKind, SandboxId};
use openshell_driver_common::watch::{News, Signal};
use tokio::time::{Instant, sleep};

use crate::driver::Inner;
use crate::engine::{Status, Summary};
use crate::watch::Recent;

/// How far lists are apart at least.
const PERIOD: Duration = Duration::from_secs(10);
/// How many times of what the last list took: a service with many containers is asked less often.
const REST: u32 = 50;
/// And at most: where many are being cleared away, a list takes long and costs little.
const LONGEST: Duration = Duration::from_secs(60);

/// What a list says of each sandbox: its container's id and state, and since when it runs.
type Listed = HashMap<SandboxId, (String, Status, i64)>;

/// Reasons to look, as they are found, beside the events that were `heard`.
pub(crate) fn signals(
    inner: Arc<Inner>,
    heard: Arc<Mutex<Recent>>,
) -> impl Stream<Item = Result<Vec<Signal>, DriverError>> + Send {
    let begin = (inner, heard, None::<Listed>, Duration::ZERO);
    stream::unfold(begin, |(inner, events, before, pause)| async move {
        sleep(pause).await;
        let begun = Instant::now();
        let listed = inner.listed().await;
        let pause = (begun.elapsed() * REST).clamp(PERIOD, LONGEST);
        let mut listed = match listed {
            Ok(listed) => listed,
            // Too much to do, and no reason to end a watch.
            Err(error) if error.kind() == ErrorKind::DeadlineExceeded => {
                tracing::warn!(%error, "cannot compare what the podman service has with what its events told");
                return Some((Ok(Vec::new()), (inner, events, before, pause)));
            }
            Err(error) => return Some((Err(error), (inner, events, before, pause))),
        };
        for (id, (container, ..)) in before.iter().flatten() {
            if !listed.contains_key(id) {
                inner.runs.forget(container);
            }
        }
        let heard = events.lock().unwrap_or_else(PoisonError::into_inner).take_heard();
        let changed = before.map_or_else(Vec::new, |before| changes(before, &mut listed, &heard));
        for id in changed.iter().filter(|id| !listed.contains_key(id)) {
            let (inner, id) = (Arc::clone(&inner), id.clone());
            tokio::spawn(async move { inner.sweep(&id).await });
        }
        let signals = changed.into_iter().map(|id| Signal::News(News::Touched(id))).collect();
        Some((Ok(signals), (inner, events, Some(listed), pause)))
    })
}

impl Inner {
    async fn listed(&self) -> Result<Listed, DriverError> {
        let containers = self.engine.containers(&self.filters()).await?;
        let ours = |found: Summary| {
            let id = self.scope.owner(&found.labels)?;
            let named = found.names.contains(&self.scope.container(&id));
            named.then_some((id, (found.id, found.status, found.started_at)))
        };
        Ok(containers.into_iter().filter_map(ours).collect())
    }
}

/// The sandboxes that came, went or changed without an event that was heard. What was heard of is looked at by that; it stays
/// in `now` as it was, so that the next list without an event of it has it looked at after all.
fn changes(before: Listed, now: &mut Listed, heard: &HashSet<String>) -> Vec<SandboxId> {
    let came = now.iter().filter(|(id, is)| !before.contains_key(*id) && !heard.contains(&is.0));
    let mut changed: Vec<SandboxId> = came.map(|(id, _)| id.clone()).collect();
    let mut kept = Vec::new();
    for (id, was) in before {
        let is = now.get(&id);
        if is == Some(&was) {
            continue;
        }
        if heard.contains(&was.0) || is.is_some_and(|is| heard.contains(&is.0)) {
            kept.push((id, was));
        } else {
            changed.push(id);
        }
    }
    now.extend(kept);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_went_or_changed() {
        let id = |text: &str| SandboxId::new(text).expect("an id");
        let listed = |all: &[(&str, &str, Status, i64)]| -> Listed {
            all.iter()
                .map(|(name, container, status, at)| (id(name), ((*container).to_owned(), *status, *at)))
                .collect()
        };
        let before = listed(&[
            ("same", "1", Status::Running, 5),
            ("ended", "2", Status::Running, 5),
            ("ran-again", "3", Status::Running, 5),
            ("made-again", "4", Status::Running, 5),
            ("gone", "5", Status::Running, 5),
        ]);
        let now = listed(&[
            ("same", "1", Status::Running, 5),
            ("ended", "2", Status::Exited, 5),
            ("ran-again", "3", Status::Running, 6),
            ("made-again", "9", Status::Running, 5),
            ("new", "6", Status::Created, -1),
        ]);
        let of = |heard: &[&str]| {
            let heard = heard.iter().map(|container| (*container).to_owned()).collect();
            let mut listed = now.clone();
            let mut changed = changes(before.clone(), &mut listed, &heard);
            changed.sort();
            (changed, listed)
        };
        let (changed, listed) = of(&[]);
        assert_eq!(changed, ["ended", "gone", "made-again", "new", "ran-again"].map(id));
        assert_eq!(listed, now);
        assert_eq!(changes(now.clone(), &mut now.clone(), &HashSet::new()), []);
        // What was heard of waits for a list without an event of it.
        let (changed, mut listed) = of(&["2", "5", "6", "9"]);
        assert_eq!(changed, [id("ran-again")]);
        let before = std::mem::replace(&mut listed, now.clone());
        let mut changed = changes(before, &mut listed, &HashSet::new());
        changed.sort();
        assert_eq!(changed, ["ended", "gone", "made-again"].map(id));
    }
}
