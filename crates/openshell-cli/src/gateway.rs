//! The connected gateway: every call on it has a deadline, and a refusal of it has a hint.

use std::error::Error as _;
use std::future::Future;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use openshell_proto::gateway::v1alpha1::gateway_client::GatewayClient;
use openshell_proto::gateway::v1alpha1::{GetStatusRequest, GetStatusResponse};
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use openshell_uds::PeerPolicy;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint as Transport};
use tonic::{Code, Request, Response, Status};

use crate::args::Common;
use crate::connect::{self, Bearer, DialError};
use crate::endpoint::Endpoint;
use crate::error::{CliError, Refusal};
use crate::target::Target;
use crate::text;

/// How much longer the gateway hears that it may take than we wait, so that our own deadline is the one that is told.
const GRACE: Duration = Duration::from_millis(500);
/// A page of a list may be far larger than the 4 MiB that tonic takes by default.
const LARGEST_ANSWER: usize = 256 << 20;
/// A gateway that hangs in the middle of a stream is noticed within the sum of these.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// What may be under way to us, in bytes: on one stream, on all of them, in one frame. A stream that nobody reads holds its
/// own window and no more, since the connection's cannot be used up.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
const FRAME: u32 = 512 << 10;

/// How long until a gateway that is not there yet is looked for again.
const ANEW: Duration = Duration::from_millis(50);

/// The gateway's methods, each call of them with the token.
pub(crate) type Client = OpenShellClient<Service>;
/// The methods that are this project's own, in the same way.
pub(crate) type OwnClient = GatewayClient<Service>;
type Service = InterceptedService<Channel, Credentials>;

/// Puts the token into each call, when there is one.
#[derive(Debug, Clone)]
pub(crate) struct Credentials(Option<Bearer>);

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(Bearer(value)) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Whom a gateway's socket may belong to: this user, root, and whom the command line names. This user is named even so:
/// a policy that names nobody refuses a socket that others may write to, and a gateway with `uids` has one (0666). What
/// counts is who listens, which the kernel says; the file's mode says only who may knock.
fn trusted(named: &[u32]) -> PeerPolicy {
    let this_user = rustix::process::geteuid().as_raw();
    PeerPolicy { allowed_uids: [&[this_user], named].concat(), ..PeerPolicy::default() }
}

/// The socket of a gateway that need not let this user in, and whose it is: root and the gateway's own user it knows.
fn others(endpoint: &Endpoint) -> Option<(PathBuf, u32)> {
    let Endpoint::Unix(path) = endpoint else { return None };
    let (this_user, owner) = (rustix::process::geteuid(), std::fs::metadata(path).ok()?.uid());
    (!this_user.is_root() && this_user.as_raw() != owner).then(|| (path.clone(), owner))
}

/// A connected gateway.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    client: Client,
    own: OwnClient,
    timeout: Duration,
    target: Target,
    /// Whether the connection ended for want of another certificate.
    refused: Arc<AtomicBool>,
    /// Whether anything has been answered yet: then it is a gateway.
    answered: Arc<AtomicBool>,
}

impl Gateway {
    /// Connects to the gateway that is meant.
    pub(crate) async fn dial(target: Target, common: &Common) -> Result<Self, CliError> {
        let policy = trusted(&common.trust_uid);
        let bearer = target.token.as_deref().map(connect::bearer).transpose().map_err(CliError::Dial)?;
        let refused = Arc::new(AtomicBool::new(false));
        let stream = tokio::time::timeout(common.limit(), connect::dial(&target, &policy, &refused))
            .await
            .map_err(|_| CliError::Silent {
                what: "connect to the gateway".to_owned(),
                limit: common.limit(),
            })?
            .map_err(CliError::Dial)?;

        // Dialled before the channel is made; a lost connection is not made anew behind the caller's back.
        let mut stream = Some(stream);
        let connector = tower::service_fn(move |_| {
            let stream = stream.take().map(TokioIo::new);
            async move { stream.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)) }
        });
        let not_a_gateway = |source| {
            let endpoint = target.endpoint.clone();
            CliError::Dial(match others(&endpoint) {
                Some((path, owner)) => DialError::HungUp { path, owner, source: Some(source) },
                None => DialError::NotAGateway { endpoint, source: Some(source) },
            })
        };
        let authority = match &target.endpoint {
            Endpoint::Unix(_) => "http://gateway.openshell.invalid".to_owned(),
            tcp @ Endpoint::Tcp { .. } => tcp.to_string(),
        };
        let channel = Transport::from_shared(authority)
            .map_err(not_a_gateway)?
            .http2_keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_adaptive_window(false)
            .max_frame_size(FRAME)
            .connect_with_connector(connector)
            .await
            .map_err(not_a_gateway)?;
        let credentials = Credentials(bearer);
        let own = GatewayClient::with_interceptor(channel.clone(), credentials.clone());
        let client =
            OpenShellClient::with_interceptor(channel, credentials).max_decoding_message_size(LARGEST_ANSWER);
        Ok(Self { client, own, timeout: common.limit(), target, refused, answered: Arc::default() })
    }

    /// The same for a gateway that has yet to come up: asked again while nobody is there, for as long as `limit`. What
    /// waiting does not mend is said at once.
    pub(crate) async fn wait_for(
        find: impl Fn() -> Result<Target, CliError>,
        common: &Common,
        limit: Duration,
    ) -> Result<Self, CliError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            // It may register itself while it is waited for.
            match Self::dial(find()?, common).await {
                Err(CliError::Dial(error))
                    if error.is_transient() && tokio::time::Instant::now() + ANEW < deadline =>
                {
                    tokio::time::sleep(ANEW).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Which gateway this is, and why it was chosen.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Makes one call within the deadline. `what` completes "cannot …"; `hint` gives a command for a refusal.
    pub(crate) async fn call<Q, A, F>(
        &self,
        what: impl Into<String>,
        hint: impl FnOnce(Code) -> Option<String>,
        message: Q,
        method: impl FnOnce(Client, Request<Q>) -> F,
    ) -> Result<A, CliError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout.saturating_add(GRACE));
        self.within(what, hint, async { Ok(method(self.client.clone(), request).await?.into_inner()) }).await
    }

    /// What the gateway knows of its driver; nothing, where it has no such method. An older one refuses all but its
    /// administrators a method that it does not know.
    pub(crate) async fn driver_status(&self) -> Result<Option<GetStatusResponse>, CliError> {
        let mut client = self.own.clone();
        let mut request = Request::new(GetStatusRequest {});
        request.set_timeout(self.timeout.saturating_add(GRACE));
        let asked = async {
            match client.get_status(request).await {
                Ok(answer) => Ok(Some(answer.into_inner())),
                Err(status) if matches!(status.code(), Code::Unimplemented | Code::PermissionDenied) => {
                    Ok(None)
                }
                Err(status) => Err(status),
            }
        };
        self.within("ask the gateway what it knows of its driver", |_| None, asked).await
    }

    /// The client for a stream, which has no deadline as a whole.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The client for what `openshell.v1` does not have.
    pub(crate) fn own_client(&self) -> OwnClient {
        self.own.clone()
    }

    /// Waits for a part of a call within the deadline.
    pub(crate) async fn within<A>(
        &self,
        what: impl Into<String>,
        hint: impl FnOnce(Code) -> Option<String>,
        part: impl Future<Output = Result<A, Status>>,
    ) -> Result<A, CliError> {
        match tokio::time::timeout(self.timeout, part).await {
            Ok(Ok(answer)) => {
                self.answered.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(status)) => Err(self.failed(what.into(), hint, status)),
            Err(_) => Err(CliError::Silent { what: what.into(), limit: self.timeout }),
        }
    }

    /// Tells a gateway that said no from a connection that broke, for which tonic makes a status up.
    pub(crate) fn failed(
        &self,
        what: String,
        hint: impl FnOnce(Code) -> Option<String>,
        status: Status,
    ) -> CliError {
        if status.source().is_some() {
            if self.refused.load(Ordering::Relaxed) {
                return CliError::Dial(DialError::ClientRefused {
                    endpoint: self.target.endpoint.clone(),
                    source: None,
                });
            }
            // The first call may be under way when a gateway hangs up that does not know us.
            if !self.answered.load(Ordering::Relaxed)
                && let Some((path, owner)) = others(&self.target.endpoint)
            {
                return CliError::Dial(DialError::HungUp { path, owner, source: None });
            }
            let hint = match &self.target.endpoint {
                Endpoint::Tcp { tls: false, .. } if !self.answered.load(Ordering::Relaxed) => {
                    "if it serves TLS, its endpoint begins with https://; else see whether it runs: openshell status"
                }
                _ => "see whether it still runs: openshell status",
            };
            return CliError::Lost { what, hint: hint.to_owned(), source: Refusal::from(status) };
        }
        let hint = match status.code() {
            Code::Unauthenticated => Some(self.credentials_hint()),
            Code::PermissionDenied => Some(
                "whoever runs the gateway can give you a higher role: [openshell.gateway.identities]"
                    .to_owned(),
            ),
            code => hint(code),
        };
        CliError::Refused { what, hint, source: Refusal::from(status) }
    }

    /// What to do when the gateway does not know who asks: it depends on what it was shown.
    fn credentials_hint(&self) -> String {
        let name = self.target.name.as_deref().unwrap_or("NAME");
        match (&self.target.token, &self.target.endpoint) {
            (Some(path), _) => format!(
                "it was shown the token in {}; for another one: openshell gateway remove {name}; openshell gateway add {name} --endpoint {} --token-file FILE",
                text::quoted(path),
                self.target.endpoint
            ),
            (None, Endpoint::Tcp { .. }) if self.target.identity.is_some() => {
                "it knows your certificate's issuer, and not you: [openshell.gateway.identities]".to_owned()
            }
            (None, Endpoint::Tcp { .. }) => format!(
                "it was shown no token: openshell gateway add NAME --endpoint {} --token-file FILE",
                self.target.endpoint
            ),
            (None, Endpoint::Unix(_)) => {
                "run this as the gateway's user, or be named in its [openshell.gateway.identities] by `uids`"
                    .to_owned()
            }
        }
    }
}
