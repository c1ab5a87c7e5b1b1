//! Requests to one repository of a registry: HTTP/1.1, with TLS unless the operator says otherwise. Proxies are not asked.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::credentials::Access;
use openshell_driver_common::container::image::place;
use openshell_driver_common::container::pull::Fault;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::trouble::Trouble;
use super::{refusal, token};

/// How long nothing may come.
const STALL: Duration = Duration::from_secs(60);
/// How often a request is sent elsewhere.
const REDIRECTS: usize = 5;
/// How much of a refusal is read.
const MAX_WORDS: u64 = 4096;

/// A body that is read piece by piece.
pub(super) type Body = Incoming;

type Https = Hyper<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A repository and who asks it.
#[derive(Debug)]
pub(super) struct Client {
    http: Https,
    reference: String,
    registry: String,
    base: String,
    repository: String,
    secure: bool,
    access: Access,
    /// What the registry took last.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Client {
    pub(super) fn new(
        reference: &str,
        host: &str,
        repository: &str,
        secure: bool,
        access: Access,
    ) -> Result<Self, Fault> {
        let http = https().map_err(|problem| {
            Fault::new(ErrorKind::FailedPrecondition, format!("cannot pull `{reference}`: {problem}"))
                .hint("install the host's certificates: apt-get install ca-certificates")
        })?;
        let scheme = if secure { "https" } else { "http" };
        Ok(Self {
            http,
            reference: reference.to_owned(),
            registry: place(reference).0.to_owned(),
            base: format!("{scheme}://{host}"),
            repository: repository.to_owned(),
            secure,
            access,
            authorization: Mutex::new(None),
        })
    }

    /// A small document below the repository, `most` bytes at most.
    pub(super) async fn document(
        &self,
        path: &str,
        accept: &'static str,
        most: u64,
    ) -> Result<Vec<u8>, Fault> {
        let body = self.get(path, accept).await?;
        self.whole(body, most).await
    }

    /// A blob's bytes.
    pub(super) async fn blob(&self, path: &str) -> Result<Body, Fault> {
        self.get(path, "*/*").await
    }

    /// The next bytes of a body; `None` at its end.
    pub(super) async fn piece(&self, body: &mut Body) -> Result<Option<Bytes>, Fault> {
        loop {
            let frame = timeout(STALL, body.frame()).await.map_err(|_| self.stalled())?;
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => return Err(self.away(&error)),
            }
        }
    }

    /// What a registry answers that no registry should.
    pub(super) fn broken(&self, problem: &str) -> Fault {
        refusal::broken(&self.reference, &self.registry, problem)
    }

    /// A trouble of the host's.
    pub(super) fn trouble(&self, trouble: Trouble) -> Fault {
        trouble.fault(&self.reference)
    }

    async fn get(&self, path: &str, accept: &'static str) -> Result<Body, Fault> {
        let uri = format!("{}/v2/{}/{path}", self.base, self.repository);
        let mut proved = false;
        loop {
            let authorization = self.authorization.lock().await.clone();
            let response = self.follow(&uri, accept, authorization.clone()).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response.into_body());
            }
            if status == StatusCode::UNAUTHORIZED && !proved {
                proved = true;
                let mut kept = self.authorization.lock().await;
                // Another request may have asked meanwhile; its answer is tried first.
                if *kept == authorization
                    && let Some(header) = self.prove(&response).await?
                {
                    *kept = Some(header);
                    continue;
                } else if *kept != authorization {
                    continue;
                }
            }
            let words = self.words(response.into_body()).await;
            return Err(self.refused(status, &words));
        }
    }

    /// Gets an address, and what it leads to. Who asks is the registry's affair, and told to no other host.
    async fn follow(
        &self,
        uri: &str,
        accept: &'static str,
        authorization: Option<HeaderValue>,
    ) -> Result<Response<Incoming>, Fault> {
        let first: Uri = uri.parse().map_err(|_| self.broken("its address makes no sense"))?;
        let mut uri = first.clone();
        for _ in 0..REDIRECTS {
            let mut request = Request::get(uri.clone()).header(ACCEPT, accept);
            if let Some(authorization) =
                authorization.clone().filter(|_| uri.authority() == first.authority())
            {
                request = request.header(AUTHORIZATION, authorization);
            }
            let response = self.send(request, Bytes::new()).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let location =
                response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            uri = self.next(&uri, location).ok_or_else(|| self.broken("it sends requests to no address"))?;
        }
        Err(self.broken("it sends requests from address to address"))
    }

    /// Where a redirect leads; away from TLS it leads nowhere.
    fn next(&self, from: &Uri, location: &str) -> Option<Uri> {
        let text = if location.starts_with('/') && !location.starts_with("//") {
            format!("{}://{}{location}", from.scheme_str()?, from.authority()?)
        } else {
            location.to_owned()
        };
        let uri: Uri = text.parse().ok()?;
        uri.authority()?;
        self.may_ask(&uri).then_some(uri)
    }

    /// Whether an address may be asked: without TLS only where the operator has said that this registry has none.
    pub(super) fn may_ask(&self, uri: &Uri) -> bool {
        match uri.scheme_str() {
            Some("https") => true,
            Some("http") => !self.secure,
            _ => false,
        }
    }

    /// Sends one request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, Fault> {
        let request = request
            .header(USER_AGENT, concat!("openshell/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|_| self.broken("a request to it cannot be written"))?;
        let answer = timeout(STALL, self.http.request(request)).await.map_err(|_| self.stalled())?;
        answer.map_err(|error| self.away(&error))
    }

    /// A whole body, `most` bytes at most.
    pub(super) async fn whole(&self, mut body: Body, most: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece(&mut body).await? {
            if bytes.len() as u64 + piece.len() as u64 > most {
                return Err(self.broken(&format!("it answers with more than {most} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    async fn words(&self, body: Body) -> String {
        let bytes = self.whole(body, MAX_WORDS).await.unwrap_or_default();
        refusal::words(&bytes)
    }

    /// What to send so that the registry knows who asks; `None` when there is nothing to send.
    async fn prove(&self, response: &Response<Incoming>) -> Result<Option<HeaderValue>, Fault> {
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        let texts: Vec<&str> = challenges.iter().filter_map(|value| value.to_str().ok()).collect();
        token::prove(self, self.access.login(), &texts, &self.repository).await
    }

    /// A request that is about a token, answered well.
    pub(super) async fn ask(
        &self,
        method: Method,
        uri: Uri,
        authorization: Option<HeaderValue>,
        form: String,
    ) -> Result<Vec<u8>, Fault> {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if !form.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let response = self.send(request, Bytes::from(form)).await?;
        let status = response.status();
        if !status.is_success() {
            let words = self.words(response.into_body()).await;
            return Err(self.refused(status, &words));
        }
        self.whole(response.into_body(), 1024 * 1024).await
    }

    fn refused(&self, status: StatusCode, words: &str) -> Fault {
        refusal::fault(&self.reference, &self.registry, &self.access.told(), Some(status.as_u16()), words)
    }

    fn away(&self, error: &(dyn std::error::Error + 'static)) -> Fault {
        let mut words = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            words = format!("{words}: {error}");
            cause = error.source();
        }
        refusal::fault(&self.reference, &self.registry, &self.access.told(), None, &words)
    }

    fn stalled(&self) -> Fault {
        Fault::stalled(&self.reference, &self.registry, STALL)
    }
}

/// One pool of connections, made when a registry is first asked: a driver whose images are all files needs no certificates.
fn https() -> Result<Https, String> {
    static HTTPS: OnceLock<Https> = OnceLock::new();
    if let Some(https) = HTTPS.get() {
        return Ok(https.clone());
    }
    // Named, not taken from the process: which provider is installed there is no business of a driver.
    let provider = rustls::crypto::ring::default_provider();
    let builder = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(provider)
        .map_err(|error| format!("the host trusts no certificate authority: {error}"))?;
    let connector = builder.https_or_http().enable_http1().build();
    let https = Hyper::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    Ok(HTTPS.get_or_init(|| https).clone())
}
