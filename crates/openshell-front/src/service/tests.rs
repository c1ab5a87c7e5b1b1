//! The front as its listeners and its service see it.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use openshell_uds::PeerCredentials;
use tonic::{Code, Status};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::access::{AccessSettings, IdentityRule, Rate};
use crate::observe::{Family, Value};
use crate::{Identity, RequestId};

mod sandbox;

const TOKEN: &str = "secret-secret-secret-secret";
const GET: &str = "/openshell.v1.OpenShell/GetSandbox";
const CREATE: &str = "/openshell.v1.OpenShell/CreateSandbox";
const RULE: &str = "/openshell.v1.OpenShell/CreateWorkspace";

/// A body that nobody may read.
struct Unread;

impl Body for Unread {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was read")
    }
}

/// Answers every request as its path says, and notes what it saw.
#[derive(Clone, Default)]
struct Inner {
    calls: Arc<AtomicUsize>,
    seen: Arc<Mutex<Option<(Identity, RequestId, HeaderValue)>>>,
    sandbox: Arc<Mutex<Option<crate::Sandbox>>>,
}

impl Service<Request<Unread>> for Inner {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Unread>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let extensions = request.extensions();
        let seen = (
            extensions.get::<Identity>().unwrap().clone(),
            extensions.get::<RequestId>().unwrap().clone(),
            request.headers()[X_REQUEST_ID].clone(),
        );
        *self.seen.lock().unwrap() = Some(seen);
        *self.sandbox.lock().unwrap() = extensions.get().cloned();
        tracing::info!("at work");
        std::future::ready(Ok(match request.uri().path() {
            CREATE => Status::not_found("no such image").into_http(),
            _ => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let frames = [
                    Ok::<_, Status>(Frame::data(Bytes::from_static(b"data"))),
                    Ok(Frame::trailers(trailers)),
                ];
                Response::new(tonic::body::Body::new(StreamBody::new(Frames(frames.into_iter()))))
            }
        }))
    }
}

struct Frames<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Frames<I> {
    type Item = I::Item;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

/// Ready, or not, or silent.
enum Fake {
    Says(Vec<String>),
    Hangs,
}

#[async_trait::async_trait]
impl Backend for Fake {
    async fn readiness(&self) -> Vec<String> {
        match self {
            Self::Says(reasons) => reasons.clone(),
            Self::Hangs => std::future::pending().await,
        }
    }

    async fn families(&self) -> Vec<Family> {
        match self {
            Self::Says(_) => {
                vec![Family::gauge("sandboxes", "Sandboxes.").sample([("phase", "ready")], Value::Integer(3))]
            }
            Self::Hangs => std::future::pending().await,
        }
    }
}

struct Fixture {
    front: Front<Inner>,
    metrics: Arc<Metrics>,
    _dir: tempfile::TempDir,
}

fn fixture(backend: Fake) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path).unwrap();
    std::io::Write::write_all(&mut file, TOKEN.as_bytes()).unwrap();
    let rule = |name: &str, role, uid, rate| IdentityRule {
        name: name.to_owned(),
        role,
        token_path: None,
        certificate_name: None,
        certificate_sha256: None,
        uids: vec![uid],
        rate,
    };
    let settings = AccessSettings {
        owner_uid: 1000,
        token_path: Some(path),
        allow_unauthenticated: false,
        client_role: None,
        rate: Rate::default(),
        identities: vec![
            rule("reader", Role::Read, 1001, None),
            rule("user", Role::Use, 1002, None),
            rule("slow", Role::Admin, 1003, Some(Rate { per_second: 1, burst: 1 })),
        ],
    };
    let metrics = Metrics::new("1.2.3");
    let options = FrontOptions {
        policy: Policy::new(&settings).unwrap(),
        metrics: Arc::clone(&metrics),
        backend: Arc::new(backend),
        request_bytes: 1000,
    };
    Fixture { front: Front::new(Inner::default(), options), metrics, _dir: dir }
}

fn by(uid: u32) -> Peer {
    Peer::Unix(PeerCredentials { uid, gid: 1, pid: None })
}

fn tcp() -> Peer {
    Peer::Tcp { address: SocketAddr::from(([127, 0, 0, 1], 40_000)) }
}

fn request(path: &str, peer: Peer, headers: &[(&str, &str)]) -> Request<Unread> {
    let mut request = Request::post(path).version(Version::HTTP_2).extension(peer);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Unread).unwrap()
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

impl Fixture {
    async fn ask(&self, request: Request<Unread>) -> Response<FrontBody> {
        let Ok(answer) = self.front.clone().call(request).await;
        answer
    }

    /// The code of an answer, from its headers or, once the body is read, its trailers.
    async fn code(&self, request: Request<Unread>) -> Code {
        let answer = self.ask(request).await;
        if let Some(status) = Status::from_header_map(answer.headers()) {
            return status.code();
        }
        let body = answer.into_body().collect().await.unwrap();
        Status::from_header_map(body.trailers().unwrap()).unwrap().code()
    }

    async fn page(&self, path: &str, version: Version, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let mut request = request(path, tcp(), headers);
        *request.method_mut() = http::Method::GET;
        *request.version_mut() = version;
        read(self.ask(request).await).await
    }

    async fn metrics(&self) -> String {
        let bearer = format!("Bearer {TOKEN}");
        self.page("/metrics", Version::HTTP_11, &[("authorization", &bearer)]).await.1
    }

    fn calls(&self) -> usize {
        self.front.inner.calls.load(Ordering::Relaxed)
    }
}

async fn read(answer: Response<FrontBody>) -> (StatusCode, String) {
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Where a test's log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn start(level: tracing::Level) -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(level)
            .with_writer(log.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn roles_decide() {
    let fixture = fixture(Fake::Hangs);
    let ok = |path| if path == CREATE { Code::NotFound } else { Code::Ok };
    for (uid, allowed) in [(1001, 1), (1002, 2), (1000, 3), (0, 3)] {
        for (at, path) in [GET, CREATE, RULE].into_iter().enumerate() {
            let expected = if at < allowed { ok(path) } else { Code::PermissionDenied };
            assert_eq!(fixture.code(request(path, by(uid), &[GRPC])).await, expected, "{path} by {uid}");
        }
        let unknown = fixture.code(request("/a.B/C", by(uid), &[GRPC])).await;
        assert_eq!(unknown, if allowed == 3 { Code::Ok } else { Code::PermissionDenied });
    }
    assert_eq!(fixture.code(request(GET, by(9), &[GRPC])).await, Code::Unauthenticated);
}

#[tokio::test]
async fn a_request_takes_its_id_and_its_identity_along() {
    let fixture = fixture(Fake::Hangs);
    let answer = fixture.ask(request(GET, by(1002), &[GRPC, ("x-request-id", "mine-1")])).await;
    assert_eq!(answer.headers()[X_REQUEST_ID], "mine-1");
    let (identity, id, header) = fixture.front.inner.seen.lock().unwrap().take().unwrap();
    assert_eq!((&*identity.name, identity.role), ("user", Role::Use));
    assert_eq!((id.as_str(), header.to_str().unwrap()), ("mine-1", "mine-1"));

    let answer = fixture.ask(request(GET, by(1002), &[GRPC, ("x-request-id", "not mine")])).await;
    let made = answer.headers()[X_REQUEST_ID].clone();
    assert_ne!(made, "not mine");
    assert_eq!(fixture.front.inner.seen.lock().unwrap().take().unwrap().2, made);
    // A refusal has one, too.
    let answer = fixture.ask(request(GET, by(9), &[GRPC, ("x-request-id", "mine-2")])).await;
    assert_eq!(answer.headers()[X_REQUEST_ID], "mine-2");
}

#[tokio::test]
async fn a_refusal_speaks_the_clients_protocol() {
    let fixture = fixture(Fake::Hangs);
    let answer = fixture.ask(request(GET, tcp(), &[GRPC])).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.body().is_end_stream());
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "who asks? hint: send the gateway's token: `authorization: Bearer TOKEN`");

    for (peer, path, headers, expected, header) in [
        (tcp(), GET, vec![], StatusCode::UNAUTHORIZED, Some(WWW_AUTHENTICATE)),
        (by(1001), CREATE, vec![], StatusCode::FORBIDDEN, None),
        (by(1000), GET, vec![("content-length", "1006")], StatusCode::PAYLOAD_TOO_LARGE, None),
    ] {
        let answer = fixture.ask(request(path, peer, &headers)).await;
        assert_eq!(answer.status(), expected);
        assert!(header.is_none_or(|header| answer.headers().contains_key(header)));
        assert!(read(answer).await.1.ends_with('\n'));
    }
    assert_eq!(fixture.calls(), 0);
}

#[tokio::test]
async fn what_is_too_large_is_refused_unread() {
    let fixture = fixture(Fake::Hangs);
    for (length, code) in [
        ("1005", Code::Ok),
        ("1006", Code::ResourceExhausted),
        ("67108864", Code::ResourceExhausted),
        ("99999999999999999999999999", Code::ResourceExhausted),
    ] {
        assert_eq!(
            fixture.code(request(GET, by(1000), &[GRPC, ("content-length", length)])).await,
            code,
            "{length}"
        );
    }
    // Who it is comes first.
    let nobody = request(GET, tcp(), &[GRPC, ("content-length", "67108864")]);
    assert_eq!(fixture.code(nobody).await, Code::Unauthenticated);
}

#[tokio::test]
async fn who_is_too_fast_is_told_when_to_come_back() {
    let fixture = fixture(Fake::Hangs);
    assert_eq!(fixture.code(request(GET, by(1003), &[GRPC])).await, Code::Ok);
    let answer = fixture.ask(request(GET, by(1003), &[GRPC])).await;
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let wait: u64 = answer.headers()["grpc-retry-pushback-ms"].to_str().unwrap().parse().unwrap();
    assert!((1..=1000).contains(&wait), "{wait}");
    let answer = fixture.ask(request(GET, by(1003), &[])).await;
    assert_eq!(
        (answer.status(), &answer.headers()[RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from(1))
    );
    assert_eq!(fixture.code(request(GET, by(1000), &[GRPC])).await, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn guessing_is_slow_and_locks_out_nobody() {
    let fixture = fixture(Fake::Hangs);
    let began = tokio::time::Instant::now();
    for _ in 0..30 {
        let guess = request(GET, tcp(), &[GRPC, ("authorization", "Bearer guess-guess-guess")]);
        assert_eq!(fixture.code(guess).await, Code::Unauthenticated);
    }
    let guessed = began.elapsed();
    assert!(guessed > Duration::from_secs(10), "{guessed:?}");
    let bearer = format!("Bearer {TOKEN}");
    let began = tokio::time::Instant::now();
    assert_eq!(fixture.code(request(GET, tcp(), &[GRPC, ("authorization", &bearer)])).await, Code::Ok);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn the_probes_answer_whoever_asks_and_the_metrics_who_may() {
    let fixture = fixture(Fake::Says(Vec::new()));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(fixture.page(path, version, &[]).await, (StatusCode::OK, "ok\n".to_owned()));
        }
        assert_eq!(fixture.page("/metrics", version, &[]).await.0, StatusCode::UNAUTHORIZED);
        let bearer = format!("Bearer {TOKEN}");
        let (status, text) = fixture.page("/metrics", version, &[("authorization", &bearer)]).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("sandboxes{phase=\"ready\"} 3\n"), "{text}");
        assert!(text.contains("openshell_gateway_build_info{version=\"1.2.3\"} 1\n"));
    }
    let answer = fixture.ask(request("/healthz", tcp(), &[])).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    let mut head = request("/metrics", by(1001), &[]);
    *head.method_mut() = http::Method::HEAD;
    let answer = fixture.ask(head).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(read(answer).await, (StatusCode::OK, String::new()));
}

#[tokio::test(start_paused = true)]
async fn readiness_gives_its_reasons_and_does_not_wait_for_good() {
    let reasons = vec!["the store\ndoes not answer".to_owned(), "the driver is away".to_owned()];
    let unready = fixture(Fake::Says(reasons));
    let (status, text) = unready.page("/readyz", Version::HTTP_11, &[]).await;
    assert_eq!(
        (status, &*text),
        (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\nthe driver is away\n")
    );
    let silent = fixture(Fake::Hangs);
    assert_eq!(silent.page("/readyz", Version::HTTP_11, &[]).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(silent.page("/healthz", Version::HTTP_11, &[]).await.0, StatusCode::OK);
    // Its own metrics are there nevertheless.
    assert!(silent.metrics().await.contains("openshell_gateway_build_info"));
}

#[tokio::test(start_paused = true)]
async fn who_asks_at_once_for_readiness_shares_one_look() {
    let silent = fixture(Fake::Hangs);
    let began = tokio::time::Instant::now();
    let asks = (0..100).map(|_| silent.page("/readyz", Version::HTTP_11, &[]));
    for (status, _) in futures_util::future::join_all(asks).await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_probes_alone_are_nothing_else() {
    let fixture = fixture(Fake::Says(Vec::new()));
    for (path, expected) in [
        ("/healthz", StatusCode::OK),
        ("/readyz", StatusCode::OK),
        ("/metrics", StatusCode::OK),
        (GET, StatusCode::NOT_FOUND),
        ("/", StatusCode::NOT_FOUND),
    ] {
        // No peer, no credentials.
        let Ok(answer) = fixture.front.probes().call(Request::get(path).body(Unread).unwrap()).await;
        assert_eq!(answer.status(), expected, "{path}");
    }
}

#[tokio::test]
async fn the_api_is_not_there_over_http_1() {
    let fixture = fixture(Fake::Hangs);
    let mut old = request(GET, by(1000), &[GRPC]);
    *old.version_mut() = Version::HTTP_11;
    let answer = fixture.ask(old).await;
    assert_eq!(answer.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    assert_eq!(answer.headers()[CONNECTION], "close");
    assert_eq!(fixture.calls(), 0);
}

#[tokio::test]
async fn a_stream_is_under_way_until_its_body_is_over() {
    let fixture = fixture(Fake::Says(Vec::new()));
    let series = |code: &str| {
        format!(
            "openshell_gateway_requests_total{{method=\"openshell.v1.OpenShell/GetSandbox\",code=\"{code}\"}} 1\n"
        )
    };
    let answer = fixture.ask(request(GET, by(1000), &[GRPC])).await;
    assert!(fixture.metrics().await.contains("requests_in_flight 1\n"));
    let read = answer.into_body().collect().await.unwrap();
    assert!(read.trailers().is_some());
    let text = fixture.metrics().await;
    assert!(text.contains(&series("OK")) && text.contains("requests_in_flight 0\n"), "{text}");
    // A client that goes away.
    drop(fixture.ask(request(GET, by(1000), &[GRPC])).await);
    let text = fixture.metrics().await;
    assert!(text.contains(&series("CANCELLED")) && text.contains("requests_in_flight 0\n"), "{text}");
    drop(fixture.front.clone().call(request(RULE, by(1000), &[GRPC])));
    assert!(fixture.metrics().await.contains("CreateWorkspace\",code=\"CANCELLED\"} 1\n"));
    assert_eq!(fixture.metrics.door(crate::Door::Tcp).open(), 0);
}

#[tokio::test]
async fn the_log_tells_who_did_what_and_no_secret() {
    let fixture = fixture(Fake::Hangs);
    let (log, _guard) = Log::start(tracing::Level::INFO);
    let bearer = format!("Bearer {TOKEN}");
    let wrong = format!("Bearer {}x", &TOKEN[..TOKEN.len() - 1]);
    let id = ("x-request-id", "find-me");
    fixture.code(request(CREATE, tcp(), &[GRPC, id, ("authorization", &bearer)])).await;
    fixture.code(request(GET, tcp(), &[GRPC, ("x-request-id", "read"), ("authorization", &bearer)])).await;
    fixture.code(request(GET, tcp(), &[GRPC, ("x-request-id", "wrong"), ("authorization", &wrong)])).await;
    let basic = format!("Basic {TOKEN}");
    fixture.code(request(GET, tcp(), &[GRPC, ("authorization", &basic)])).await;
    fixture.code(request(CREATE, by(1001), &[GRPC])).await;
    fixture.code(request("/a%0A/C", by(1001), &[GRPC])).await;
    let text = log.text();
    let line = |with: &str| text.lines().filter(|line| line.contains(with)).collect::<Vec<_>>();
    let of_create = line("find-me");
    assert_eq!(of_create.len(), 2, "{text}");
    assert!(of_create[0].contains("at work"), "{text}");
    for part in [
        "INFO",
        "method=openshell.v1.OpenShell/CreateSandbox",
        "peer=tcp 127.0.0.1:40000",
        "identity=\"token\"",
        "openshell::access",
        "code=\"NOT_FOUND\"",
        "took_ms=",
    ] {
        assert!(of_create[1].contains(part), "{part} in {}", of_create[1]);
    }
    // Reads are for debugging; what happens on their behalf still has the id.
    assert_eq!(line("id=\"read\"").len(), 1, "{text}");
    let refused = line("refused");
    assert_eq!(refused.len(), 4, "{text}");
    for (line, parts) in refused.iter().zip([
        ["WARN", "id=\"wrong\"", "reason=\"unknown\"", "code=\"UNAUTHENTICATED\"", "tcp 127.0.0.1:40000"],
        ["WARN", "id=", "reason=\"scheme\"", "code=\"UNAUTHENTICATED\"", "tcp 127.0.0.1:40000"],
        ["WARN", "identity=\"reader\"", "reason=\"role\"", "code=\"PERMISSION_DENIED\"", "uid 1001"],
        ["WARN", "method=/a%0A", "reason=\"role\"", "code=\"PERMISSION_DENIED\"", "uid 1001"],
    ]) {
        for part in parts {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    for secret in [TOKEN, &TOKEN[..TOKEN.len() - 1], "Bearer", "Basic"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(!format!("{:?}", fixture.front).contains(TOKEN));
}

/// What the door costs a request; prints nanoseconds a call. Run it with `--release -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement, not a check"]
async fn what_a_request_costs() {
    let fixture = fixture(Fake::Hangs);
    let mut front = fixture.front.clone();
    let mut requests: Vec<_> = (0..100_000).map(|_| request(GET, by(1000), &[GRPC])).collect();
    let began = Instant::now();
    for request in requests.drain(..) {
        let Ok(answer) = front.call(request).await;
        answer.into_body().collect().await.unwrap();
    }
    println!("{} ns a request through the front and a trivial service", began.elapsed().as_nanos() / 100_000);
    let mut requests: Vec<_> = (0..100_000).map(|_| request(GET, by(1000), &[GRPC])).collect();
    let (mut inner, identity) =
        (fixture.front.inner.clone(), Identity { name: "owner".into(), role: Role::Admin });
    let began = Instant::now();
    for mut request in requests.drain(..) {
        let id = RequestId::of(request.headers());
        request.extensions_mut().insert(identity.clone());
        request.headers_mut().insert(X_REQUEST_ID, id.value());
        request.extensions_mut().insert(id);
        let Ok(answer) = inner.call(request).await;
        answer.into_body().collect().await.unwrap();
    }
    println!("{} ns a request through the trivial service alone", began.elapsed().as_nanos() / 100_000);
}
