//! What the made-up server knows, and what a test makes of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

/// What becomes of a request that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is refused, and nothing is done.
    Refused,
    /// It is done, and the connection ends before the answer.
    Unheard,
}

type Key = (String, String);

/// What the server knows, and what it is told to do.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) objects: BTreeMap<Key, Value>,
    pub(super) version: u64,
    /// Versions before this one are forgotten.
    pub(super) oldest: u64,
    pub(super) history: Vec<(u64, String, String)>,
    pub(super) watchers: Vec<(String, UnboundedSender<String>)>,
    /// Every request, as it came.
    pub(crate) log: Vec<String>,
    /// Fails the changing requests with these numbers.
    pub(super) fail: Option<(std::ops::Range<usize>, Failure)>,
    pub(super) changes: usize,
    /// Requests that hold this text get no answer.
    pub(crate) hang: Option<String>,
    /// A kind whose creates are carried out, and answered with what makes no sense.
    pub(crate) nonsense: Option<&'static str>,
    /// Whether pods wait for a kubelet, of which there is none: a delete marks them, and only one by force removes them.
    pub(crate) silent_nodes: bool,
    /// The version that the server says it has.
    pub(super) git_version: &'static str,
    /// The versions of agent-sandbox that are served.
    pub(super) agent: Vec<&'static str>,
    /// Everything is refused with this status.
    pub(crate) down: Option<(u16, String)>,
}

impl World {
    fn tell(&mut self, kind: &str, what: &str, object: &Value) {
        let line = format!("{}\n", json!({ "type": what, "object": object }));
        self.history.push((self.version, kind.to_owned(), line.clone()));
        self.watchers.retain(|(watched, to)| watched != kind || to.send(line.clone()).is_ok());
    }

    /// Puts an object, as a POST does, and gives it back.
    pub(crate) fn put(&mut self, kind: &str, mut object: Value) -> Value {
        self.version += 1;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let meta = &mut object["metadata"];
        meta["resourceVersion"] = json!(self.version.to_string());
        meta["namespace"] = json!("fake");
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{}", self.version));
            meta["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let what = match self.objects.insert((kind.to_owned(), name), object.clone()) {
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        self.tell(kind, what, &object);
        object
    }

    /// Removes an object, as a DELETE does.
    pub(crate) fn remove(&mut self, kind: &str, name: &str) -> Option<Value> {
        let mut object = self.objects.remove(&(kind.to_owned(), name.to_owned()))?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.tell(kind, "DELETED", &object);
        Some(object)
    }

    /// Ends all watches and forgets all that they could go on from: what changes before the next list is not told.
    pub(crate) fn expire(&mut self) {
        self.version += 1;
        self.oldest = self.version;
        self.history.clear();
        self.watchers.clear();
    }

    /// Ends all watches, as a connection that is cut does.
    pub(crate) fn cut(&mut self) {
        self.watchers.clear();
    }

    /// Forgets every version at once from now on.
    pub(crate) fn forget(&mut self) {
        self.oldest = u64::MAX;
        self.watchers.clear();
    }

    /// The only object of a kind.
    pub(crate) fn only(&self, kind: &str) -> Value {
        let found: Vec<&Value> =
            self.objects.iter().filter(|((of, _), _)| of == kind).map(|(_, object)| object).collect();
        assert_eq!(found.len(), 1, "{kind}: {found:?}");
        found[0].clone()
    }

    /// Says a line to all who watch a kind.
    pub(crate) fn say(&mut self, kind: &str, line: &Value) {
        let line = format!("{line}\n");
        self.watchers.retain(|(watched, to)| watched != kind || to.send(line.clone()).is_ok());
    }

    /// How many watch.
    pub(crate) fn watching(&self) -> usize {
        self.watchers.iter().filter(|(_, to)| !to.is_closed()).count()
    }

    /// Fails the changing requests of these numbers, counted from now, and gives the log up to here.
    pub(crate) fn fail(&mut self, which: std::ops::Range<usize>, how: Failure) {
        (self.fail, self.changes) = (Some((which, how)), 0);
        self.log.clear();
    }

    /// Fails nothing any more; whether anything was failed.
    pub(crate) fn heal(&mut self) -> bool {
        self.fail.take().is_some_and(|(which, _)| self.changes >= which.start)
    }
}
