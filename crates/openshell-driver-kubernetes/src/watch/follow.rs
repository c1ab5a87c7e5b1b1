//! One kind of object, followed from a version on, for as long as that can be done without a gap.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{ListParams, WatchParams};
use kube::core::{ObjectMeta, Request, WatchEvent};
use kube::{Error, Resource};
use openshell_driver_api::DriverError;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::calls::{Calls, Listed};
use crate::error;

/// How long the API server keeps a watch open, in seconds.
const OPEN: u32 = 240;
/// How much longer nothing may come until the connection is taken for dead. The server tells where it is about once a
/// minute, so that a silent one is not quiet but gone.
const SILENCE: Duration = Duration::from_secs(150);
/// How often in a row a watch may fail until whoever reads is told, and how far apart the tries are at first.
const TRIES: u32 = 4;
const APART: Duration = Duration::from_millis(200);
/// A watch that ends sooner than this is not taken up at once: something ends it each time.
const SHORT: Duration = Duration::from_secs(1);

/// What became of the objects of a kind.
#[derive(Debug)]
pub(crate) enum Change<T> {
    /// These are there, new or changed.
    Put(T),
    /// These are gone.
    Gone(T),
    /// These are there and no others.
    All(T),
}

impl<T> Change<T> {
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Put(objects) => Change::Put(map(objects)),
            Self::Gone(objects) => Change::Gone(map(objects)),
            Self::All(objects) => Change::All(map(objects)),
        }
    }
}

/// What is followed.
pub(crate) struct Source {
    pub(crate) calls: Calls,
    pub(crate) url: String,
    pub(crate) metadata: bool,
    pub(crate) params: ListParams,
}

/// What becomes of what is missed because the API server no longer has it.
#[derive(Debug)]
pub(crate) enum After<K> {
    /// All is listed anew, of each object what the function leaves of it.
    Listed(fn(K) -> K),
    /// It is left at that: of what is only ever said once there may be more than anybody wants to hold.
    Left,
}

impl<K> After<K> {
    fn trim(&self, object: K) -> K {
        match self {
            Self::Listed(trim) => trim(object),
            Self::Left => object,
        }
    }
}

type Told<K> = Result<Change<Vec<K>>, DriverError>;

/// Why a watch is over.
enum End {
    /// It is to be taken up from the last version.
    Again,
    /// The API server no longer has that version.
    Expired,
    /// Something went wrong.
    Failed(Error),
    /// Nobody listens.
    Unread,
}

impl Source {
    /// Follows in a task, which ends with an error when it can no longer.
    pub(crate) fn follow<K>(
        self,
        version: String,
        after: After<K>,
        tasks: &mut JoinSet<()>,
    ) -> mpsc::Receiver<Told<K>>
    where
        K: Clone + Debug + DeserializeOwned + Meta + Send + 'static,
    {
        // Whoever reads sets the pace: what is not taken waits in the connection, and in the end at the server.
        let (tell_to, changes) = mpsc::channel(1);
        tasks.spawn(async move {
            if let Err(error) = self.run(version, &after, &tell_to).await {
                let _ = tell_to.send(Err(error)).await;
            }
        });
        changes
    }

    async fn run<K>(
        &self,
        mut version: String,
        after: &After<K>,
        tell_to: &mpsc::Sender<Told<K>>,
    ) -> Result<(), DriverError>
    where
        K: Clone + Debug + DeserializeOwned + Meta,
    {
        let mut failures = 0;
        loop {
            let (begun, before) = (Instant::now(), version.clone());
            match self.once(&mut version, after, tell_to).await {
                End::Unread => return Ok(()),
                End::Again => {
                    if version == before && begun.elapsed() < SHORT {
                        sleep(SHORT).await;
                    }
                    failures = 0;
                }
                End::Expired => {
                    tracing::info!(url = self.url, "a watch has expired; it begins anew");
                    if begun.elapsed() < SHORT {
                        // A server that forgets at once what it has just listed is not asked without end.
                        sleep(SHORT).await;
                    }
                    let missed = self.anew(after).await.map_err(|error| error::cluster("watch", error))?;
                    version = missed.version;
                    if let After::Listed(_) = after
                        && tell_to.send(Ok(Change::All(missed.items))).await.is_err()
                    {
                        return Ok(());
                    }
                    failures = 0;
                }
                End::Failed(error) => {
                    failures = if version == before { failures + 1 } else { 1 };
                    let refused = matches!(error::status(&error), Some(401 | 403 | 404 | 405));
                    let error = error::cluster("watch", error);
                    if refused || failures >= TRIES {
                        return Err(error);
                    }
                    tracing::debug!(url = self.url, %error, "a watch failed and is taken up again");
                    sleep(APART * 2_u32.pow(failures)).await;
                }
            }
        }
    }

    /// What there is now, and the version to go on from.
    async fn anew<K>(&self, after: &After<K>) -> Result<Listed<K>, Error>
    where
        K: Clone + DeserializeOwned,
    {
        match after {
            After::Listed(trim) => self.calls.all_of(&self.url, self.metadata, &self.params, *trim).await,
            After::Left => {
                let version = self.calls.version(&self.url, &self.params).await?;
                Ok(Listed { items: Vec::new(), version })
            }
        }
    }

    /// One watch, from a version to its end; the version is that of the last thing that was told.
    async fn once<K>(&self, version: &mut String, after: &After<K>, tell_to: &mpsc::Sender<Told<K>>) -> End
    where
        K: Clone + Debug + DeserializeOwned + Meta,
    {
        let params = WatchParams {
            label_selector: self.params.label_selector.clone(),
            field_selector: self.params.field_selector.clone(),
            timeout: Some(OPEN),
            ..WatchParams::default()
        };
        let request = Request::new(&self.url);
        let request = match self.metadata {
            true => request.watch_metadata(&params, version),
            false => request.watch(&params, version),
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return End::Failed(Error::BuildRequest(error)),
        };
        let opened = tokio::select! {
            opened = Calls::within(self.calls.client.request_events::<K>(request)) => opened,
            () = tell_to.closed() => return End::Unread,
        };
        let mut events = match opened {
            Ok(events) => Box::pin(events),
            Err(error) => return over(error),
        };
        loop {
            let event = tokio::select! {
                event = timeout(SILENCE, events.next()) => event,
                () = tell_to.closed() => return End::Unread,
            };
            let change = match event {
                Err(_) | Ok(None) => return End::Again,
                Ok(Some(Err(error))) => return over(error),
                Ok(Some(Ok(WatchEvent::Error(status)))) => return over(Error::Api(status)),
                Ok(Some(Ok(WatchEvent::Bookmark(mark)))) => {
                    *version = mark.metadata.resource_version;
                    continue;
                }
                Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => {
                    seen(version, &object);
                    Change::Put(vec![after.trim(object)])
                }
                Ok(Some(Ok(WatchEvent::Deleted(object)))) => {
                    seen(version, &object);
                    Change::Gone(vec![after.trim(object)])
                }
            };
            if tell_to.send(Ok(change)).await.is_err() {
                return End::Unread;
            }
        }
    }
}

/// What has metadata.
pub(crate) trait Meta {
    fn meta(&self) -> &ObjectMeta;
}

impl<K: Resource> Meta for K {
    fn meta(&self) -> &ObjectMeta {
        Resource::meta(self)
    }
}

fn seen(version: &mut String, object: &impl Meta) {
    if let Some(seen) = &object.meta().resource_version {
        version.clone_from(seen);
    }
}

fn over(error: Error) -> End {
    match error::status(&error) {
        Some(410) => End::Expired,
        _ => End::Failed(error),
    }
}
