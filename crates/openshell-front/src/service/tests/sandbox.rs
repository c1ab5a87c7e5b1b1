//! A sandbox's door: its supervisor's methods with its token, and nothing else to anybody; and the other listeners, where
//! nobody gets at these methods.

use super::*;
use crate::sandbox::{Purpose, Sandbox, SandboxKey};

const ID: &str = "c97db7be-83be-4825-8f1e-807d82dad652";
const METHODS: [(&str, bool); 5] = [
    ("ConnectSupervisor", true),
    ("RefreshSandboxToken", true),
    ("RelayStream", false),
    ("PushSandboxLogs", false),
    ("ReportMainProcessExit", false),
];

/// A gateway with the door of a sandbox.
struct Room {
    clients: Fixture,
    door: Fixture,
    key: Arc<SandboxKey>,
}

fn room() -> Room {
    let clients = fixture(Fake::Hangs);
    let key = SandboxKey::load_or_create(&clients._dir.path().join("key"), "gw").unwrap();
    let key = Arc::new(key);
    let front = clients.front.sandbox(ID, Arc::clone(&key));
    let door = Fixture { front, metrics: Arc::clone(&clients.metrics), _dir: tempfile::tempdir().unwrap() };
    Room { clients, door, key }
}

impl Room {
    /// The header of a token that was issued so long ago.
    fn bearer(&self, id: &str, purpose: Purpose, age: Duration) -> String {
        let issued = self.key.issue(id, purpose, std::time::SystemTime::now() - age);
        format!("Bearer {}", issued.token.expose())
    }

    fn fresh(&self, purpose: Purpose) -> String {
        self.bearer(ID, purpose, Duration::ZERO)
    }
}

fn path(method: &str) -> String {
    format!("/openshell.v1.OpenShell/{method}")
}

/// From within a sandbox, as any of its users.
fn ask(method: &str, bearer: &str) -> Request<Unread> {
    request(&path(method), by(65534), &[GRPC, ("authorization", bearer)])
}

#[tokio::test]
async fn a_supervisor_calls_what_its_token_is_for_and_is_known_by_its_sandbox() {
    let room = room();
    for (method, boot) in METHODS {
        let expected = if boot { Code::Ok } else { Code::Unauthenticated };
        let years = room.bearer(ID, Purpose::Boot, Duration::from_secs(5 * 365 * 24 * 60 * 60));
        assert_eq!(room.door.code(ask(method, &years)).await, expected, "{method}");
        assert_eq!(room.door.code(ask(method, &room.fresh(Purpose::Boot))).await, expected, "{method}");
        assert_eq!(room.door.code(ask(method, &room.fresh(Purpose::Session))).await, Code::Ok, "{method}");
    }
    let seen = room.door.front.inner.seen.lock().unwrap();
    let (identity, _, _) = seen.as_ref().unwrap();
    assert_eq!(*identity.name, *format!("sandbox {ID}"));
    assert_eq!(*room.door.front.inner.sandbox.lock().unwrap(), Some(Sandbox(ID.into())));
}

#[tokio::test(start_paused = true)]
async fn every_other_way_in_is_refused_by_name_and_costs_time() {
    let room = room();
    let other = room.bearer("another", Purpose::Session, Duration::ZERO);
    let old = room.bearer(ID, Purpose::Session, Duration::from_secs(3600));
    let forged = {
        let dir = tempfile::tempdir().unwrap();
        let key = SandboxKey::load_or_create(&dir.path().join("key"), "gw").unwrap();
        let issued = key.issue(ID, Purpose::Session, std::time::SystemTime::now());
        format!("Bearer {}", issued.token.expose())
    };
    for (bearer, said) in [
        (other.as_str(), "the token is another sandbox's"),
        (&old, "the sandbox's token has expired"),
        (&forged, "the token is not valid"),
        (&format!("Bearer {TOKEN}"), "`authorization` has no token"),
        ("Basic x", "`authorization` has a scheme"),
    ] {
        let began = tokio::time::Instant::now();
        let answer = room.door.ask(ask("ConnectSupervisor", bearer)).await;
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().starts_with(said), "{said}: {}", status.message());
        assert!(began.elapsed() >= Duration::from_millis(500), "{said}");
    }
    let none = request(&path("ConnectSupervisor"), by(0), &[GRPC]);
    assert_eq!(room.door.code(none).await, Code::Unauthenticated, "root has to show a token, too");
    let large = room.fresh(Purpose::Session);
    let large = [GRPC, ("authorization", large.as_str()), ("content-length", "2000")];
    let large = request(&path("PushSandboxLogs"), by(1), &large);
    assert_eq!(room.door.code(large).await, Code::ResourceExhausted);
    assert_eq!(room.door.calls(), 0);
}

#[tokio::test]
async fn whatever_is_no_supervisor_s_is_not_there_whoever_asks() {
    let room = room();
    let session = room.fresh(Purpose::Session);
    for path in [
        GET,
        CREATE,
        RULE,
        "/grpc.health.v1.Health/Check",
        "/healthz",
        "/metrics",
        "/openshell.v1.OpenShell/ConnectSupervisor/",
        "/openshell.v1.OpenShell/relaystream",
        "//openshell.v1.OpenShell/RelayStream",
        "/",
    ] {
        for bearer in [session.as_str(), &format!("Bearer {TOKEN}"), ""] {
            let request = request(path, by(0), &[GRPC, ("authorization", bearer)]);
            assert_eq!(room.door.code(request).await, Code::Unimplemented, "{path}");
        }
    }
    let mut page = request("/metrics", by(0), &[]);
    *page.method_mut() = http::Method::GET;
    *page.version_mut() = Version::HTTP_11;
    assert_eq!(room.door.ask(page).await.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
    assert_eq!(room.door.calls(), 0);
}

#[tokio::test]
async fn on_the_clients_listeners_nobody_is_a_supervisor() {
    let room = room();
    let session = room.fresh(Purpose::Session);
    let admin = format!("Bearer {TOKEN}");
    for (method, _) in METHODS {
        for (peer, bearer, expected) in [
            (by(1000), session.as_str(), Code::PermissionDenied),
            (by(0), "", Code::PermissionDenied),
            (by(1002), &session, Code::PermissionDenied),
            (tcp(), &admin, Code::PermissionDenied),
            (tcp(), &session, Code::Unauthenticated),
            (by(4242), &session, Code::Unauthenticated),
        ] {
            let request = request(&path(method), peer, &[GRPC, ("authorization", bearer)]);
            assert_eq!(room.clients.code(request).await, expected, "{method}");
        }
    }
    assert_eq!(room.clients.calls(), 0);
    let ok = request(GET, by(1000), &[GRPC, ("authorization", &session)]);
    assert_eq!(room.clients.code(ok).await, Code::Ok);
    assert_eq!(*room.clients.front.inner.sandbox.lock().unwrap(), None, "no client is a sandbox");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_and_the_log_has_one_line_of_them_without_the_token() {
    let room = room();
    let (log, _guard) = Log::start(tracing::Level::INFO);
    let other = room.bearer("another", Purpose::Session, Duration::ZERO);
    for _ in 0..20 {
        room.door.code(ask("ConnectSupervisor", &other)).await;
    }
    room.door.code(request(GET, by(0), &[GRPC])).await;
    let text = log.text();
    let refused: Vec<&str> = text.lines().filter(|line| line.contains("refused")).collect();
    assert_eq!(refused.len(), 1, "{text}");
    for part in
        ["WARN", "ConnectSupervisor", &format!("sandbox=\"{ID}\""), "reason=\"other_sandbox\"", "uid 65534"]
    {
        assert!(refused[0].contains(part), "{part} in {text}");
    }
    for secret in other.split(['.', ' ']).filter(|part| part.len() > 8) {
        assert!(!text.contains(secret), "{text}");
    }
    let metrics = room.clients.metrics().await;
    assert!(metrics.contains("refusals_total{reason=\"other_sandbox\"} 20\n"), "{metrics}");
    assert!(metrics.contains("refusals_total{reason=\"not_here\"} 1\n"), "{metrics}");
    let debug = format!("{:?}", room.door.front);
    assert!(!debug.contains(&other), "{debug}");
}
