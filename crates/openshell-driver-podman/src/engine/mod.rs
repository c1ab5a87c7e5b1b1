//! The Podman service as this driver sees it: libpod's own calls, typed, each with a bound.
//!
//! ```text
//!   connect (connect.rs) ─ GET /_ping ─▶ version ─▶ /v4.0.0/libpod or /v5.0.0/libpod ─▶ info ─▶ Engine
//!   calls: containers (here), stores.rs (volumes, secrets, networks), images.rs, events.rs   models.rs, info.rs, spec.rs: their words
//! ```
//!
//! Nothing here knows a gateway or a sandbox: whoever asks says which labels are meant.

mod connect;
mod events;
mod images;
mod info;
mod models;
mod spec;
mod stores;
mod ulimits;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_common::container::platform::Platform;
use serde::Deserialize;

pub(crate) use self::connect::libpod_version;
pub(crate) use self::events::Events;
pub(crate) use self::images::STALL;
pub(crate) use self::info::{HostInfo, Info};
use self::models::Removed;
#[cfg(test)]
pub(crate) use self::models::{Actor, ContainerConfig};
pub(crate) use self::models::{Container, Event, State, Status, Summary, Words};
pub(crate) use self::spec::{
    Cpu, Device, Health, Join, Log, Memory, Mount, NamedVolume, Namespace, NetworkSpec, Pids, Resources,
    Rlimit, SecretMount, Spec, VolumeSpec,
};
use self::ulimits::Ulimits;
use crate::client::{Call, Client};
use crate::error::Failure;

/// How much longer than the main process may take an end of it may take.
const STOP_SLACK: Duration = Duration::from_secs(60);
/// What is read of a container's file at most.
const MAX_ARCHIVE: usize = 4 * 1024 * 1024;

/// Filters of the service's lists and events: the JSON of `?filters=`.
pub(crate) type Filters = HashMap<String, Vec<String>>;

/// A connection to a service that has answered; copies share what is known of it.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    client: Client,
    facts: Arc<Facts>,
    ulimits: Arc<Ulimits>,
}

/// What was learned when the connection was made.
#[derive(Debug)]
struct Facts {
    /// Libpod's API version (`4.3.1`).
    version: String,
    platform: Platform,
    rootless: bool,
    polls_events: bool,
}

/// The name of what was made.
#[derive(Debug, Deserialize)]
struct Made {
    #[serde(rename = "Id")]
    id: String,
}

impl Engine {
    /// The version of libpod's API, for people.
    pub(crate) fn version(&self) -> &str {
        &self.facts.version
    }

    /// Where the service is.
    pub(crate) fn socket(&self) -> &Path {
        self.client.socket()
    }

    /// What it runs.
    pub(crate) fn platform(&self) -> &Platform {
        &self.facts.platform
    }

    /// Whether it runs as a user that is not root.
    pub(crate) fn rootless(&self) -> bool {
        self.facts.rootless
    }

    /// Whether it keeps its events in a file, at which it looks now and then for whoever listens.
    pub(crate) fn polls_events(&self) -> bool {
        self.facts.polls_events
    }

    /// What it tells of itself, asked anew.
    pub(crate) async fn info(&self) -> Result<Info, Failure> {
        self.client.json(Call::get("describe engine", &["info"])).await
    }

    /// The containers that match, in every state, however many.
    pub(crate) async fn containers(&self, filters: &Filters) -> Result<Vec<Summary>, Failure> {
        let call = Call::get("list containers", &["containers", "json"]).query("all", "true");
        self.list(call, filters).await
    }

    /// A list of what matches; a service writes `null` for an empty one, too.
    async fn list<T: serde::de::DeserializeOwned>(
        &self,
        call: Call,
        filters: &Filters,
    ) -> Result<Vec<T>, Failure> {
        let listed: Option<Vec<T>> = self.client.json(call.query_json("filters", filters)?).await?;
        Ok(listed.unwrap_or_default())
    }

    /// A container by its id or name; `None` when it is gone, or [lost](Failure::is_lost): one that a crash of the service has
    /// left half must not keep the others from being seen.
    pub(crate) async fn inspect(&self, name: &str) -> Result<Option<Container>, Failure> {
        match self.describe(name).await {
            Err(failure) if failure.is_lost() => Ok(None),
            described => described,
        }
    }

    /// The same, where a lost one makes a difference.
    ///
    /// # Errors
    /// A failure that [says so](Failure::is_lost) for a lost one.
    pub(crate) async fn describe(&self, name: &str) -> Result<Option<Container>, Failure> {
        found(self.client.json(Call::get("inspect container", &["containers", name, "json"])).await)
    }

    /// Makes a container and gives its id.
    ///
    /// # Errors
    /// A [conflict](Failure::is_conflict) when its name is taken; whoever has it is left as it is.
    pub(crate) async fn create(&self, spec: &Spec) -> Result<String, Failure> {
        if self.ulimits.known() {
            return self.post_container(&self.ulimits.fill(spec)).await;
        }
        let bare = Spec { rlimits: Vec::new(), ..spec.clone() };
        let id = self.post_container(&bare).await?;
        // Gone already: somebody removed it, and nothing is learned of the service.
        let Some(made) = self.inspect(&id).await? else { return Ok(id) };
        let swapped = self.ulimits.learn(&made.host.ulimits);
        if swapped {
            tracing::info!(
                "the podman service gives its `default_ulimits` the wrong way round; they are mended"
            );
        }
        if swapped || !spec.rlimits.is_empty() {
            self.remove(&id).await?;
            return self.post_container(&self.ulimits.fill(spec)).await;
        }
        Ok(id)
    }

    async fn post_container(&self, spec: &Spec) -> Result<String, Failure> {
        let call = Call::post("create container", &["containers", "create"]).json(spec)?;
        let made: Made = self.client.json(call).await?;
        Ok(made.id)
    }

    /// Starts a container; one that runs is left as it is.
    pub(crate) async fn start(&self, name: &str) -> Result<(), Failure> {
        self.client.done(Call::post("start container", &["containers", name, "start"])).await
    }

    /// Asks a container's main process to end, and ends it after so many seconds; one that does not run is left as it is.
    pub(crate) async fn stop(&self, name: &str, seconds: u32) -> Result<(), Failure> {
        let call = Call::post("stop container", &["containers", name, "stop"])
            .query("timeout", &seconds.to_string())
            .within(Duration::from_secs(u64::from(seconds)) + STOP_SLACK);
        self.client.done(call).await
    }

    /// Wakes a container that was paused.
    pub(crate) async fn unpause(&self, name: &str) -> Result<(), Failure> {
        self.client.done(Call::post("unpause container", &["containers", name, "unpause"])).await
    }

    /// Ends a container at once and removes it, with the volumes that have no name; `false` when there was none.
    pub(crate) async fn remove(&self, name: &str) -> Result<bool, Failure> {
        let call = Call::delete("remove container", &["containers", name])
            .query("force", "true")
            .query("v", "true")
            .query("timeout", "0");
        self.removed("remove container", call).await
    }

    /// Removes something; `false` when there was no such thing.
    async fn removed(&self, operation: &'static str, call: Call) -> Result<bool, Failure> {
        let report = match self.client.bytes(call, MAX_ARCHIVE).await {
            Ok(report) => report,
            Err(failure) if failure.is_not_found() => return Ok(false),
            Err(failure) => return Err(failure),
        };
        // Some removals answer with nothing, some with a report for each thing removed.
        let parts: Vec<Removed> = serde_json::from_slice(&report).unwrap_or_default();
        match parts.into_iter().find_map(|part| part.error) {
            None => Ok(true),
            Some(problem) => {
                let words = problem.as_str().map_or_else(|| problem.to_string(), str::to_owned);
                Err(Failure::told(operation, words))
            }
        }
    }

    /// A file or directory of a container as a tar archive; `None` when there is no such path or container.
    pub(crate) async fn get_archive(&self, name: &str, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let call = Call::get("get files", &["containers", name, "archive"]).query("path", path);
        found(self.client.bytes(call, MAX_ARCHIVE).await.map(Vec::from))
    }
}

/// "No such thing" as `None`.
fn found<T>(result: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests;
