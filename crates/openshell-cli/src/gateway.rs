//! The connection: found, checked and dialled once; every call on it has a deadline.

use std::error::Error as _;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use openshell_core::{Environment, paths};
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use openshell_uds::{ConnectError, PeerPolicy};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use crate::args::Common;
use crate::error::{CliError, Refusal};

/// How much longer the gateway hears that it may take than we wait, so that our own deadline is the one that is told.
const GRACE: Duration = Duration::from_millis(500);
/// A page of a list may be far larger than the 4 MiB that tonic takes by default.
const LARGEST_ANSWER: usize = 256 << 20;
/// A gateway that hangs in the middle of a stream is noticed within the sum of these.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// How long until a gateway that is not there yet is looked for again.
const ANEW: Duration = Duration::from_millis(50);

/// A connected gateway.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    client: OpenShellClient<Channel>,
    timeout: Duration,
    socket: PathBuf,
}

impl Gateway {
    /// Finds the socket, checks who listens, connects.
    pub(crate) async fn dial(common: &Common) -> Result<Self, CliError> {
        let socket = socket(common, &Environment::from_process())?;
        let policy = PeerPolicy { allowed_uids: common.trust_uid.clone(), allowed_gids: Vec::new() };
        let stream = tokio::time::timeout(common.timeout, openshell_uds::connect(&socket, &policy))
            .await
            .map_err(|_| CliError::Silent {
                what: "connect to the gateway".to_owned(),
                limit: common.timeout,
            })?
            .map_err(CliError::Connect)?;

        // Dialled before the channel is made, so that what is wrong keeps its type; a lost connection is not made
        // anew behind the caller's back.
        let mut stream = Some(stream);
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().map(TokioIo::new);
            async move { stream.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)) }
        });
        let channel = Endpoint::from_static("http://gateway.openshell.invalid")
            .http2_keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .connect_with_connector(connector)
            .await
            .map_err(|source| CliError::NotAGateway { socket: socket.display().to_string(), source })?;
        let client = OpenShellClient::new(channel).max_decoding_message_size(LARGEST_ANSWER);
        Ok(Self { client, timeout: common.timeout, socket })
    }

    /// The same for a gateway that has yet to come up: asked again while nobody is there, for as long as `limit`. What
    /// waiting does not mend is said at once.
    pub(crate) async fn wait_for(common: &Common, limit: Duration) -> Result<Self, CliError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            match Self::dial(common).await {
                Err(CliError::Connect(ConnectError::Absent { .. } | ConnectError::Refused { .. }))
                    if tokio::time::Instant::now() + ANEW < deadline =>
                {
                    tokio::time::sleep(ANEW).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> String {
        self.socket.display().to_string()
    }

    /// Makes one call within the deadline. `what` completes "cannot …"; `hint` gives a command for a refusal.
    pub(crate) async fn call<Q, A, F>(
        &self,
        what: impl Into<String>,
        hint: impl FnOnce(tonic::Code) -> Option<String>,
        message: Q,
        method: impl FnOnce(OpenShellClient<Channel>, Request<Q>) -> F,
    ) -> Result<A, CliError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout.saturating_add(GRACE));
        self.within(what, hint, async { Ok(method(self.client.clone(), request).await?.into_inner()) }).await
    }

    /// The client for a stream, which has no deadline as a whole.
    pub(crate) fn client(&self) -> OpenShellClient<Channel> {
        self.client.clone()
    }

    /// Waits for a part of a call within the deadline.
    pub(crate) async fn within<A>(
        &self,
        what: impl Into<String>,
        hint: impl FnOnce(tonic::Code) -> Option<String>,
        part: impl Future<Output = Result<A, Status>>,
    ) -> Result<A, CliError> {
        match tokio::time::timeout(self.timeout, part).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(failed(what.into(), hint, status)),
            Err(_) => Err(CliError::Silent { what: what.into(), limit: self.timeout }),
        }
    }
}

/// Tells a gateway that said no from a connection that broke, for which tonic makes a status up.
pub(crate) fn failed(
    what: String,
    hint: impl FnOnce(tonic::Code) -> Option<String>,
    status: Status,
) -> CliError {
    if status.source().is_some() {
        CliError::Lost { what, source: Refusal::from(status) }
    } else {
        let hint = hint(status.code());
        CliError::Refused { what, hint, source: Refusal::from(status) }
    }
}

/// The socket that is asked for, else the gateway's own default; set but empty counts as unset.
fn socket(common: &Common, env: &Environment) -> Result<PathBuf, CliError> {
    match &common.gateway_socket {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Ok(paths::runtime_dir(env).map_err(CliError::NoSocket)?.join(paths::SOCKET)),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;

    use super::*;

    fn found(given: Option<&str>, env: &Environment) -> Result<PathBuf, CliError> {
        let common = Common {
            gateway_socket: given.map(OsString::from),
            trust_uid: Vec::new(),
            timeout: Duration::from_secs(1),
            json: false,
        };
        socket(&common, env)
    }

    #[test]
    fn the_default_is_where_the_gateway_listens_by_default() {
        let user = Environment::new([("XDG_RUNTIME_DIR", "/run/user/7")], 7);
        assert_eq!(found(None, &user).unwrap(), Path::new("/run/user/7/openshell/gateway.sock"));
        assert_eq!(found(Some(""), &user).unwrap(), Path::new("/run/user/7/openshell/gateway.sock"));
        assert_eq!(found(Some("x.sock"), &user).unwrap(), Path::new("x.sock"));
        let root = Environment::new([("XDG_RUNTIME_DIR", "/run/user/0")], 0);
        assert_eq!(found(None, &root).unwrap(), Path::new("/run/openshell/gateway.sock"));
        let bare = Environment::new([("HOME", "/home/u")], 7);
        assert!(matches!(found(None, &bare), Err(CliError::NoSocket(_))));
    }
}
