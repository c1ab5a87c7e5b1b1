//! The way of a request through the front door.
//!
//! ```text
//!   request id ▸ probes ▸ who ▸ role ▸ rate ▸ size ▸ the gateway's service ▸ counters, access log
//!                         └──────┬──────────┘
//!                             refusal: counted, logged, answered in the words of the protocol
//! ```
//!
//! On the door of a sandbox nobody is known but its supervisor, and that is decided by the [`sandbox`](crate::sandbox) module.
//!
//! HTTP/1 is answered for the probes alone. So no web page can make a browser call the API, neither with a name that it
//! makes point here: browsers speak HTTP/2 only where TLS has agreed on it, and TLS checks names.

mod future;

use std::convert::Infallible;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use tower_service::Service;
use tracing::Span;

use crate::access::{Caller, Denied, MethodId, Policy, Refusal};
use crate::observe::{FrontBody, Metrics, Record, code_name};
use crate::probes::{Backend, Page, Probes, text};
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::sandbox::{SandboxDoor, SandboxKey, SandboxRoll};
use crate::{Guest, Identity, Peer, Role};

pub use future::FrontFuture;

/// What gRPC puts before a message: a flag and a length ("gRPC over HTTP2", Length-Prefixed-Message).
const MESSAGE_PREFIX: u64 = 5;
/// How much is logged of a path that no method has.
const LONGEST_PATH: usize = 128;

/// What a front is made of.
pub struct FrontOptions {
    /// Who may come in.
    pub policy: Policy,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Whom it asks for readiness and further metrics.
    pub backend: Arc<dyn Backend>,
    /// The largest message of a request, in bytes. The service has to keep to it where a request does not announce it.
    pub request_bytes: u64,
}

/// The front door as a tower service around the gateway's. Clones share everything.
///
/// A request has to carry its [`Peer`] as an extension; without, nobody knows who asks. What gets through carries the
/// [`Identity`](crate::Identity) and the [`RequestId`] besides.
#[derive(Clone)]
pub struct Front<S> {
    inner: S,
    options: Arc<FrontOptions>,
    probes: Probes,
    part: Part,
}

/// Which listener it is the front of.
#[derive(Clone)]
enum Part {
    /// One for clients.
    Clients,
    /// One with nothing but the probes, which are for everybody.
    Probes,
    /// The door of a sandbox.
    Sandbox(Arc<SandboxDoor>),
    /// The door of all that are on other hosts.
    Sandboxes(Arc<SandboxRoll>),
}

impl<S> Front<S> {
    /// The door of `inner`.
    #[must_use]
    pub fn new(inner: S, options: FrontOptions) -> Self {
        let probes = Probes::new(Arc::clone(&options.metrics), Arc::clone(&options.backend));
        Self { inner, options: Arc::new(options), probes, part: Part::Clients }
    }

    /// The probes alone and for everybody, for a listener that the operator has placed where only those come who may see
    /// them. It is the same type, so that what serves it is in the program once.
    #[must_use]
    pub fn probes(&self) -> Self
    where
        S: Clone,
    {
        Self { part: Part::Probes, ..self.clone() }
    }

    /// The door of one sandbox: the supervisors' methods alone, for whoever shows a token of this sandbox that `key` has
    /// signed. The same type, for the same reason.
    #[must_use]
    pub fn sandbox(&self, id: &str, key: Arc<SandboxKey>) -> Self
    where
        S: Clone,
    {
        Self { part: Part::Sandbox(Arc::new(SandboxDoor::new(id, key, None))), ..self.clone() }
    }

    /// The same for every sandbox of a roll, of which the token says which it is.
    #[must_use]
    pub fn sandboxes(&self, roll: Arc<SandboxRoll>) -> Self
    where
        S: Clone,
    {
        Self { part: Part::Sandboxes(roll), ..self.clone() }
    }
}

impl fmt::Debug for FrontOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontOptions")
            .field("policy", &self.policy)
            .field("request_bytes", &self.request_bytes)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Front<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<B>> for Front<S>
where
    S: Service<Request<B>, Response = Response<tonic::body::Body>, Error = Infallible>,
{
    type Response = Response<FrontBody>;
    type Error = Infallible;
    type Future = FrontFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let began = Instant::now();
        let id = RequestId::of(request.headers());
        let options = &*self.options;
        let page = Page::of(request.uri().path());
        if matches!(self.part, Part::Probes) {
            let Some(page) = page else {
                let answer = text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics here\n");
                return FrontFuture::answer(answer, id);
            };
            let answer = self.probes.clone().answer(page, request.method().clone());
            return FrontFuture::later(Box::pin(answer), id);
        }
        let door = match &self.part {
            Part::Sandbox(door) => Some(Arc::clone(door)),
            Part::Sandboxes(roll) => Some(roll.door_for(request.headers())),
            Part::Clients | Part::Probes => None,
        };
        let page = page.filter(|_| door.is_none());
        if page.is_none() && request.version() < Version::HTTP_2 {
            let mut answer = text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "the API is gRPC, over HTTP/2\n");
            // Its body is not read, so nothing can follow it.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return FrontFuture::answer(answer, id);
        }
        let asked = Asked::of(&request, &id, began);
        if let Some(page) = page {
            // Whoever got through the listener may ask whether the gateway is there.
            if page == Page::Metrics
                && let Err(refused) = options.admit(&asked, |caller| caller.authorize(Role::Read))
            {
                return options.refuse(&asked, refused, id.clone());
            }
            let answer = self.probes.clone().answer(page, request.method().clone());
            return FrontFuture::later(Box::pin(answer), id);
        }
        let method = asked.method.method();
        let guest = request.extensions().get::<Guest>();
        let identity = match &door {
            Some(door) => match options.admit_supervisor(door, &asked, guest) {
                Ok(()) => door.identity(),
                Err(refusal) => return options.refuse_supervisor(door, &asked, refusal, id.clone()),
            },
            None => match options.admit(&asked, |caller| caller.authorize_method(method)) {
                Ok(caller) => caller.identity(),
                Err(refused) => return options.refuse(&asked, refused, id.clone()),
            },
        };
        if let Some(guest) = guest {
            guest.welcome();
        }
        let span = asked.span(&identity);
        let record = Record::new(&options.metrics, asked.method, began, span);
        request.extensions_mut().insert(identity);
        if let Some(door) = door {
            request.extensions_mut().insert(door.sandbox());
        }
        request.extensions_mut().insert(id.clone());
        request.headers_mut().insert(X_REQUEST_ID, id.value());
        let future = record.span().in_scope(|| self.inner.call(request));
        FrontFuture::service(future, record, id)
    }
}

/// What the door looks at of a request.
struct Asked<'a> {
    headers: &'a HeaderMap,
    path: &'a str,
    peer: Option<&'a Peer>,
    method: MethodId,
    id: &'a RequestId,
    began: Instant,
}

impl<'a> Asked<'a> {
    fn of<B>(request: &'a Request<B>, id: &'a RequestId, began: Instant) -> Self {
        let path = request.uri().path();
        let peer = request.extensions().get::<Peer>();
        Self { headers: request.headers(), path, peer, method: MethodId::of(path), id, began }
    }

    /// What is logged on behalf of the request is logged in here. Where nobody listens, nothing is written for it.
    fn span(&self, identity: &Identity) -> Span {
        tracing::info_span!(
            target: "openshell::request",
            "request",
            id = self.id.as_str(),
            method = %self.shown(),
            peer = %Shown(self.peer),
            identity = &*identity.name,
        )
    }

    /// The method, in a form that may be logged.
    fn shown(&self) -> ShownMethod<'a> {
        ShownMethod { method: self.method, path: self.path }
    }

    /// The answer of a refusal, after a while.
    fn turn_away<F>(&self, refusal: Refusal, wait: Duration, id: RequestId) -> FrontFuture<F> {
        let answer = if self.is_grpc() { refusal.status().into_http() } else { page(refusal) };
        if wait.is_zero() {
            return FrontFuture::answer(answer, id);
        }
        let later = async move {
            tokio::time::sleep(wait).await;
            answer
        };
        FrontFuture::later(Box::pin(later), id)
    }

    fn is_grpc(&self) -> bool {
        let of_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
        self.headers.get(CONTENT_TYPE).is_some_and(of_grpc)
    }
}

/// A refusal, and who it is for, as far as that is known.
struct Refused<'a> {
    refusal: Refusal,
    caller: Option<Caller<'a>>,
}

impl From<Denied> for Refused<'_> {
    fn from(denied: Denied) -> Self {
        Self { refusal: Refusal::Denied(denied), caller: None }
    }
}

impl FrontOptions {
    /// Who asks, if they may ask for this, and for so much, and now.
    fn admit(
        &self,
        asked: &Asked<'_>,
        authorize: impl FnOnce(&Caller<'_>) -> Result<(), Refusal>,
    ) -> Result<Caller<'_>, Refused<'_>> {
        let caller = self.policy.authenticate(asked.peer, asked.headers)?;
        let judged = authorize(&caller)
            .and_then(|()| caller.pace(asked.began))
            .and_then(|()| self.measure(asked.headers));
        match judged {
            Ok(()) => Ok(caller),
            Err(refusal) => Err(Refused { refusal, caller: Some(caller) }),
        }
    }

    /// Whether a sandbox's supervisor asks, if it may ask for this, and for so much.
    fn admit_supervisor(
        &self,
        door: &SandboxDoor,
        asked: &Asked<'_>,
        guest: Option<&Guest>,
    ) -> Result<(), Refusal> {
        door.admit(asked.method.method(), asked.headers, asked.began)?;
        guest.map_or(Ok(()), |guest| door.seat(guest))?;
        self.measure(asked.headers)
    }

    /// Whether a request that says how long it is may be so long. What says nothing is measured as it is read.
    fn measure(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let limit = self.request_bytes;
        let Some(announced) = headers.get(CONTENT_LENGTH) else { return Ok(()) };
        // HTTP has looked at it already: it is a number, though perhaps one without bounds.
        let announced = announced.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        match announced {
            Some(announced) if announced <= limit.saturating_add(MESSAGE_PREFIX) => Ok(()),
            _ => Err(Refusal::Large { limit }),
        }
    }

    /// Counts, logs and answers a refusal. The log has whatever helps to find the one who asked, and nothing that they
    /// offered.
    fn refuse<F>(&self, asked: &Asked<'_>, refused: Refused<'_>, id: RequestId) -> FrontFuture<F> {
        let Refused { refusal, caller } = refused;
        self.metrics.refused(asked.method, refusal);
        tracing::warn!(
            target: "openshell::access",
            id = asked.id.as_str(),
            method = %asked.shown(),
            peer = %Shown(asked.peer),
            identity = caller.as_ref().map(Caller::name),
            reason = refusal.reason(),
            code = code_name(refusal.code()),
            "refused"
        );
        let wait = match refusal {
            Refusal::Denied(_) => self.policy.penalty(asked.peer, asked.began),
            _ => Duration::ZERO,
        };
        asked.turn_away(refusal, wait, id)
    }

    /// The same for whoever asks on a sandbox's door, who may be anything that runs in there.
    fn refuse_supervisor<F>(
        &self,
        door: &SandboxDoor,
        asked: &Asked<'_>,
        refusal: Refusal,
        id: RequestId,
    ) -> FrontFuture<F> {
        self.metrics.refused(asked.method, refusal);
        if let Some(unsaid) = door.says(asked.began) {
            tracing::warn!(
                target: "openshell::access",
                id = asked.id.as_str(),
                method = %asked.shown(),
                peer = %Shown(asked.peer),
                sandbox = &*door.sandbox().0,
                reason = refusal.reason(),
                code = code_name(refusal.code()),
                unsaid,
                "refused"
            );
        }
        asked.turn_away(refusal, SandboxDoor::penalty(refusal), id)
    }
}

/// A refusal for whoever speaks no gRPC.
fn page(refusal: Refusal) -> Response<FrontBody> {
    let mut answer = text(refusal.http_status(), refusal.message() + "\n");
    match refusal {
        // RFC 9110, section 15.5.2, asks for it.
        Refusal::Denied(_) => {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Refusal::Rate { wait } => {
            let seconds = HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
            answer.headers_mut().insert(RETRY_AFTER, seconds);
        }
        Refusal::Role { .. } | Refusal::Large { .. } | Refusal::Supervisors | Refusal::NotHere => {}
    }
    answer
}

/// The peer, if there is one.
struct Shown<'a>(Option<&'a Peer>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => peer.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

/// A method of the table as it is; any other path escaped and cut.
struct ShownMethod<'a> {
    method: MethodId,
    path: &'a str,
}

impl fmt::Display for ShownMethod<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.method.is_unknown() {
            self.path
                .chars()
                .take(LONGEST_PATH)
                .flat_map(char::escape_debug)
                .try_for_each(|char| f.write_char(char))
        } else {
            f.write_str(self.method.method().path)
        }
    }
}

#[cfg(test)]
mod tests;
