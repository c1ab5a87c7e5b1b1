//! The connections to a driver: made as they are needed, greeted, and explained when they fail.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::Uri;
use openshell_driver_api::{Capabilities, DriverError, ErrorKind};
use openshell_proto::compute::v1::{self as messages, compute_driver_client::ComputeDriverClient};
use openshell_uds::{ConnectError, PeerPolicy};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tonic::{Response, Status};

use crate::session::Session;
use crate::wire::Wire;
use crate::{MAX_MESSAGE, convert, error_of};

/// Between two greetings of a driver that does not answer well: the first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// What the driver and the task that greets new connections share.
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) session: Session,
    pub(crate) client: ComputeDriverClient<Wire>,
}

impl Link {
    /// Prepares the connections to the socket at `path`. Nothing is connected yet, unless `first` is a connection that
    /// exists already. Each further one is greeted by a task, with `deadline` for its answer.
    pub(crate) fn open(
        name: &str,
        path: &Path,
        policy: PeerPolicy,
        first: Option<UnixStream>,
        deadline: Duration,
    ) -> Arc<Self> {
        let (wire, connections) = Wire::new(path.to_owned(), policy, first);
        // The authority is never resolved; a server may show it in its log.
        let client = ComputeDriverClient::with_origin(wire, Uri::from_static("http://localhost"))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let link = Arc::new(Link {
            name: name.to_owned(),
            path: path.to_owned(),
            session: Session::default(),
            client,
        });
        tokio::spawn(greet_reconnections(Arc::downgrade(&link), connections, deadline));
        link
    }

    /// Asks with a client of its own; the answer is bounded by `deadline`.
    pub(crate) async fn call<T, F>(
        &self,
        operation: &'static str,
        deadline: Duration,
        ask: impl FnOnce(ComputeDriverClient<Wire>) -> F,
    ) -> Result<T, DriverError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        match tokio::time::timeout(deadline, ask(self.client.clone())).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.explain(operation, status)),
            Err(_) => Err(self.late(operation, deadline)),
        }
    }

    /// Asks the driver who it is; what gives no name is no driver.
    pub(crate) async fn greet(&self, deadline: Duration) -> Result<Capabilities, DriverError> {
        const OPERATION: &str = "get capabilities";
        let ask = |mut client: ComputeDriverClient<Wire>| async move {
            client.get_capabilities(messages::GetCapabilitiesRequest {}).await
        };
        let capabilities = convert::capabilities_from_wire(self.call(OPERATION, deadline, ask).await?);
        let path = self.path.display();
        if let Err(why) = self.session.greeted(&capabilities) {
            let message = format!("the program at `{path}` is no compute driver: {why}");
            return Err(DriverError::new(ErrorKind::FailedPrecondition, OPERATION, message));
        }
        let Capabilities { driver_name, driver_version, .. } = &capabilities;
        tracing::info!(
            driver = %self.name,
            "connected to driver `{driver_name}` version {driver_version} at {path}"
        );
        Ok(capabilities)
    }

    /// A status as an error. One that the transport made is not the driver's word: it says what lies at the socket.
    pub(crate) fn explain(&self, operation: &'static str, status: Status) -> DriverError {
        if let Some(failure) = cause::<ConnectError>(&status) {
            let found = failure.found();
            let message =
                format!("the driver's socket `{}` does not answer: found {found}", self.path.display());
            return DriverError::new(ErrorKind::Unavailable, operation, message);
        }
        if std::error::Error::source(&status).is_some() {
            let message = format!("the connection to the driver at `{}` broke", self.path.display());
            return DriverError::new(ErrorKind::Unavailable, operation, message).with_source(status);
        }
        error_of(operation, &status)
    }

    fn late(&self, operation: &'static str, deadline: Duration) -> DriverError {
        let message = format!("the driver at `{}` gave no answer within {deadline:?}", self.path.display());
        DriverError::new(ErrorKind::DeadlineExceeded, operation, message)
    }
}

/// The first error of type `E` among the causes of a status.
fn cause<E: std::error::Error + 'static>(status: &Status) -> Option<&E> {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// Asks for the capabilities anew after every connection but the first, which is greeted by whoever dials. Ends with
/// the driver.
async fn greet_reconnections(link: Weak<Link>, mut connections: watch::Receiver<u64>, deadline: Duration) {
    let mut pause = PAUSES.0;
    while connections.changed().await.is_ok() {
        if *connections.borrow_and_update() <= 1 {
            continue;
        }
        let Some(link) = link.upgrade() else { return };
        let Err(error) = link.greet(deadline).await else {
            pause = PAUSES.0;
            continue;
        };
        tracing::warn!(driver = %link.name, %error, "the driver was connected to again and does not answer well");
        // Nobody else may be left to ask.
        drop(link);
        // Where whoever listens hangs up, a greeting has connected by itself, and would be the reason for the next one.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
