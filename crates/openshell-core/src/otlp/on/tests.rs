//! Against a collector in this process: what reaches it, and what happens when nobody is there.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// One request as it came.
struct Posted {
    head: String,
    body: Vec<u8>,
}

impl Posted {
    fn has(&self, what: &[u8]) -> bool {
        self.body.windows(what.len()).any(|window| window == what)
    }
}

/// A collector that answers everything with `status`, and its address.
fn collector(status: &'static str) -> (String, mpsc::Receiver<Posted>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, posted) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = receive(&mut stream);
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (address, posted)
}

fn receive(stream: &mut TcpStream) -> Posted {
    let mut bytes = Vec::new();
    let end = loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the request ends in its head");
        bytes.extend_from_slice(&chunk[..read]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = bytes[end..].to_vec();
    body.resize(length.trim().parse().unwrap(), 0);
    let have = bytes.len() - end;
    stream.read_exact(&mut body[have..]).unwrap();
    Posted { head, body }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn target(address: &str) -> Target {
    let env = Environment::new([(ENV_ENDPOINT, address), (ENV_SERVICE, "named-by-test")], 0);
    Target::of(&env).unwrap().unwrap()
}

/// A service that does what the gateway does with a request: a span, and within it a call of the driver.
#[derive(Clone)]
struct Traced;

impl Service<Request<()>> for Traced {
    type Response = ();
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<(), Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        Box::pin(async {
            let request = tracing::info_span!("a request");
            let _entered = request.enter();
            tracing::debug_span!("a driver call").in_scope(|| tracing::info!("a line of the log"));
            Ok(())
        })
    }
}

/// Runs one request of a caller who traces, under the provider's layer.
fn ask(provider: &SdkTracerProvider) {
    let subscriber = tracing_subscriber::registry().with(vec![layer(provider)]);
    let _default = tracing::subscriber::set_default(subscriber);
    let request =
        Request::builder().header("traceparent", format!("00-{TRACE}-{CALLER}-01")).body(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let Ok(()) = runtime.block_on(continued(Traced).call(request));
}

#[test]
fn the_caller_s_trace_goes_on_and_reaches_the_collector() {
    let (address, posted) = collector("200 OK");
    let provider = target(&address).provider().unwrap();
    ask(&provider);
    provider.shutdown_with_timeout(PATIENCE).unwrap();
    let posted = posted.recv_timeout(PATIENCE).unwrap();
    assert!(posted.head.starts_with("post /v1/traces http/1.1\r\n"), "{}", posted.head);
    assert!(posted.head.contains("content-type: application/x-protobuf"), "{}", posted.head);
    for text in ["a request", "a driver call", "a line of the log", "named-by-test"] {
        assert!(posted.has(text.as_bytes()), "no `{text}`");
    }
    let count = |what: &[u8]| posted.body.windows(what.len()).filter(|window| *window == what).count();
    assert_eq!(count(&hex(TRACE)), 2, "both spans are in the caller's trace");
    assert_eq!(count(&hex(CALLER)), 1, "the request is the caller's child, the call of the driver is not");
}

#[test]
fn a_collector_that_is_away_or_refuses_costs_a_request_nothing() {
    // Bound and never accepted from: a connect succeeds, and nobody answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent_address = format!("http://{}", silent.local_addr().unwrap());
    let (refusing, _posted) = collector("503 Service Unavailable");
    for address in [silent_address.as_str(), refusing.as_str(), "http://127.0.0.1:1"] {
        let provider = target(address).provider().unwrap();
        let begun = Instant::now();
        // More than the queue holds.
        for _ in 0..3000 {
            ask(&provider);
        }
        let asked = begun.elapsed();
        let begun = Instant::now();
        let _lost = provider.shutdown_with_timeout(Duration::from_millis(200));
        assert!(asked < PATIENCE, "{address}: {asked:?} for 3000 requests");
        assert!(begun.elapsed() < PATIENCE, "{address}: the deadline is kept");
    }
}

#[test]
fn the_environment_decides() {
    let of = |vars: &[(&str, &str)]| Target::of(&Environment::new(vars.iter().copied(), 0));
    let endpoint = |vars: &[(&str, &str)]| of(vars).unwrap().map(|target| target.endpoint);
    assert_eq!(of(&[]).unwrap(), None);
    let base = (ENV_ENDPOINT, "http://collector:4318/");
    assert_eq!(endpoint(&[base]).as_deref(), Some("http://collector:4318/v1/traces"));
    let traces = (ENV_TRACES_ENDPOINT, "http://other:4318/x");
    assert_eq!(endpoint(&[base, traces]).as_deref(), Some("http://other:4318/x"));
    assert_eq!(endpoint(&[base, (ENV_DISABLED, "True")]), None);
    assert!(endpoint(&[base, (ENV_DISABLED, "1")]).is_some(), "`true` is the one word that the standard has");
    assert!(of(&[base]).unwrap().unwrap().service.starts_with("openshell"), "the program's name");
    assert_eq!(of(&[base, (ENV_SERVICE, "mine")]).unwrap().unwrap().service, "mine");
    for junk in [
        "https://user:s3cret@collector:4318",
        "http://user:s3cret@collector:4318",
        "http://s3cret@collector",
        "https://collector:4318/?key=s3cret",
        "collector:4318",
        "http://",
        "s3cret is not a url",
        "unix:/run/c.sock",
    ] {
        let error = of(&[(ENV_ENDPOINT, junk)]).unwrap_err();
        assert!(error.contains(ENV_ENDPOINT) && !error.contains("s3cret"), "{junk}: {error}");
    }
}
