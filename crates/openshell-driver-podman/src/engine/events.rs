//! What happens on the service, as it happens.

use std::time::{SystemTime, UNIX_EPOCH};

use super::models::Event;
use super::{Engine, Filters};
use crate::client::{Call, Lines};
use crate::error::Failure;

impl Engine {
    /// Asks for what happens, and for what has happened since a time, without end.
    ///
    /// A service begins to look somewhat after it was asked, and 4.x does not even send a head before it has something to
    /// tell. What it has told is in its log, and a `since` a little earlier than now covers that moment.
    pub(crate) async fn events(&self, filters: &Filters, since: SystemTime) -> Result<Events, Failure> {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let call = Call::get("watch", &["events"])
            .query("stream", "true")
            .query("since", &since.to_string())
            .query_json("filters", filters)?;
        Ok(Events { lines: self.client.lines(call).await? })
    }
}

/// Events as they come; dropping it ends them.
pub(crate) struct Events {
    lines: Lines,
}

impl Events {
    /// The next event, whenever that is; `None` when the service ended them. Dropped before it is there, nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        self.lines.next().await
    }
}
