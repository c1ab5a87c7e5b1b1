//! The connections to a driver: made as they are needed, greeted, and explained when they fail.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use openshell_driver_api::{Capabilities, DriverError, ErrorKind};
use openshell_proto::compute::v1::{self as wire, compute_driver_client::ComputeDriverClient};
use openshell_uds::{ConnectError, PeerPolicy};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::session::Session;
use crate::{MAX_MESSAGE, convert, error_of};

/// What the driver and the task that greets new connections share.
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) session: Session,
    pub(crate) client: ComputeDriverClient<Channel>,
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
        let (connected, connections) = watch::channel(0_u64);
        let connector = Connector { path: path.to_owned(), policy, first: Mutex::new(first), connected };
        let connector = Arc::new(connector);
        let connect = tower::service_fn(move |_: http::Uri| {
            let connector = Arc::clone(&connector);
            async move { connector.connect().await.map(TokioIo::new) }
        });
        // The authority is never resolved; a server may show it in its log.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connect);
        let client = ComputeDriverClient::new(channel)
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
        ask: impl FnOnce(ComputeDriverClient<Channel>) -> F,
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
        let ask = |mut client: ComputeDriverClient<Channel>| async move {
            client.get_capabilities(wire::GetCapabilitiesRequest {}).await
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

/// Makes the connections of a channel and counts them.
struct Connector {
    path: PathBuf,
    policy: PeerPolicy,
    first: Mutex<Option<UnixStream>>,
    connected: watch::Sender<u64>,
}

impl Connector {
    async fn connect(&self) -> Result<UnixStream, ConnectError> {
        let ready = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = match ready {
            Some(stream) => stream,
            None => openshell_uds::connect(&self.path, &self.policy).await?,
        };
        self.connected.send_modify(|count| *count += 1);
        Ok(stream)
    }
}

/// Asks for the capabilities anew after every connection but the first, which is greeted by whoever dials. Ends with
/// the driver.
async fn greet_reconnections(link: Weak<Link>, mut connections: watch::Receiver<u64>, deadline: Duration) {
    while connections.changed().await.is_ok() {
        if *connections.borrow_and_update() <= 1 {
            continue;
        }
        let Some(link) = link.upgrade() else { return };
        if let Err(error) = link.greet(deadline).await {
            tracing::warn!(driver = %link.name, %error, "the driver was connected to again and does not answer well");
        }
    }
}
