//! The engine against replies of services that are not there.
//!
//! What is in `replies/v4` was recorded from a service of 4.3.1 and shortened. What is in `replies/v5`, and every other reply
//! of a 5.x here, was **written by hand** after the sources of Podman 5: no service of 5.x was at hand to record it from.

use std::time::SystemTime;

use openshell_driver_api::{DriverError, ErrorKind, Secret};

use super::models::MountPoint;
use super::*;
use crate::client::fake::{Asked, Fake, Step, chunk, endless, ping, reply};
use crate::config::Config;

const INFO_4: &str = include_str!("replies/v4/info.json");
const INFO_5: &str = include_str!("replies/v5/info.json");
const INSPECT_4: &str = include_str!("replies/v4/inspect.json");
const INSPECT_5: &str = include_str!("replies/v5/inspect.json");

/// An engine at a service of a version, which answers as `answer` says once the connection is made.
async fn engine(
    version: &'static str,
    answer: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static,
) -> (Fake, Engine) {
    let info = if version.starts_with('4') { INFO_4 } else { INFO_5 };
    let fake = Fake::new(move |asked| match asked.line.as_str() {
        "GET /_ping" => ping(version),
        line if line.ends_with("/libpod/info") => reply(200, info),
        _ => answer(asked),
    });
    let config = Config { socket_path: Some(fake.socket()), ..Config::default() };
    let engine = Engine::connect(&config).await.expect("a connection");
    (fake, engine)
}

async fn refused(answer: impl Fn(&Asked) -> Vec<Step> + Send + Sync + 'static) -> DriverError {
    let fake = Fake::new(answer);
    let config = Config { socket_path: Some(fake.socket()), ..Config::default() };
    Engine::connect(&config).await.expect_err("no connection")
}

#[tokio::test]
async fn each_version_is_spoken_to_in_its_own() {
    for (version, base, rootless, platform) in
        [("4.3.1", "/v4.0.0/libpod", false, "linux/amd64"), ("5.2.5", "/v5.0.0/libpod", true, "linux/arm64")]
    {
        let (fake, engine) = engine(version, |_| reply(200, "null")).await;
        assert_eq!((engine.version(), engine.rootless()), (version, rootless));
        assert_eq!(
            (engine.platform().to_string().as_str(), engine.socket()),
            (platform, fake.socket().as_path())
        );
        let filters = Filters::from([("label".to_owned(), vec!["a=b".to_owned()])]);
        assert_eq!(engine.containers(&filters).await.expect("a list"), []);
        let lines: Vec<String> = fake.asked().into_iter().map(|asked| asked.line).collect();
        let list =
            format!("GET {base}/containers/json?all=true&filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D");
        assert_eq!(lines, ["GET /_ping".to_owned(), format!("GET {base}/info"), list]);
    }
}

#[tokio::test]
async fn who_is_not_podman_is_told_so() {
    let docker = refused(|_| reply(200, "OK")).await;
    assert_eq!(docker.kind(), ErrorKind::FailedPrecondition);
    assert!(docker.message().starts_with("another engine answered at `/"), "{docker}");
    let old = refused(|_| ping("3.4.4")).await;
    assert_eq!(old.kind(), ErrorKind::FailedPrecondition);
    assert!(old.message().contains("speaks API 3.4.4"), "{old}");
    let nobody = Config { socket_path: Some(crate::client::fake::nowhere()), ..Config::default() };
    let error = Engine::connect(&nobody).await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.message(), "no Podman service answers at `/nonexistent/podman.sock`: no such socket");
}

#[tokio::test]
async fn containers_of_both_versions() {
    for (version, text) in [("4.3.1", INSPECT_4), ("5.2.5", INSPECT_5)] {
        let (_fake, engine) = engine(version, move |_| reply(200, text)).await;
        let container = engine.inspect("a").await.expect("a container").expect("some");
        assert_eq!(container.config.labels, HashMap::from([("a".to_owned(), "b".to_owned())]));
        let mount = MountPoint { kind: "volume".into(), name: "ws".into(), destination: "/sandbox".into() };
        assert_eq!(container.mounts, [mount]);
        let state = &container.state;
        match version {
            "4.3.1" => {
                assert_eq!((container.name.as_str(), state.status), ("recorded", Status::Created));
                assert_eq!(state.started_at, "0001-01-01T00:00:00Z");
            }
            _ => {
                assert_eq!((container.name.as_str(), state.status), ("made-by-hand", Status::Exited));
                assert_eq!((state.exit_code, state.oom_killed), (137, true));
                assert_eq!(
                    (container.host.userns_mode.as_str(), container.config.user.as_str()),
                    ("private", "1000")
                );
                assert_eq!(container.network.networks["lab"].address, "10.89.0.2");
            }
        }
    }
    let list = r#"[{"Id":"a","Names":["n"],"Labels":null,"State":"stopped","Created":"2026-01-02T03:04:05Z","Restarts":0,"CIDFile":""},
                   {"Id":"b","Names":null,"Labels":{"k":"v"},"State":"a new word"}]"#;
    let (_fake, engine) = engine("5.2.5", move |_| reply(200, list)).await;
    let listed = engine.containers(&Filters::default()).await.expect("a list");
    assert_eq!((listed[0].status, listed[1].status), (Status::Stopped, Status::Unknown));
    assert_eq!(listed[1].labels["k"], "v");
}

#[tokio::test]
async fn what_a_service_of_5_tells_of_itself() {
    let (_fake, engine) = engine("5.2.5", |_| Vec::new()).await;
    let info = engine.info().await.expect("a description");
    assert_eq!((info.host.cgroup_version.as_str(), info.store.backing()), ("v2", "xfs"));
    assert_eq!(info.host.cgroup_controllers, ["cpu", "memory", "pids"]);
    assert!(info.host.security.rootless && info.host.security.selinux_enabled);
    let ids: u64 = info.host.id_mappings.uidmap.iter().map(|range| range.size).sum();
    assert_eq!((ids, info.host.oci_runtime.name.as_str()), (65537, "crun"));
}

#[tokio::test]
async fn limits_that_came_the_wrong_way_round_are_mended_once() {
    let (fake, engine) = engine("4.3.1", |asked| match asked.line.split(' ').next() {
        Some("POST") => reply(201, r#"{"Id":"a","Warnings":[]}"#),
        Some("DELETE") => reply(200, r#"[{"Id":"a"}]"#),
        _ => reply(200, INSPECT_4),
    })
    .await;
    let spec = Spec { name: "n".into(), ..Spec::default() };
    assert_eq!(engine.create(&spec).await.expect("a container"), "a");
    assert_eq!(engine.create(&spec).await.expect("a container"), "a");
    let asked = fake.asked();
    let methods: Vec<&str> = asked[2..].iter().filter_map(|asked| asked.line.split(' ').next()).collect();
    assert_eq!(methods, ["POST", "GET", "DELETE", "POST", "POST"]);
    let limits =
        r#""r_limits":[{"type":"nofile","soft":1024,"hard":4096},{"type":"nproc","soft":4096,"hard":4096}]"#;
    assert!(!asked[2].body.contains("r_limits"), "{}", asked[2].body);
    assert!(asked[5].body.contains(limits) && asked[6].body.contains(limits), "{}", asked[5].body);
}

#[tokio::test]
async fn a_removal_may_fail_inside_of_a_yes() {
    let refusal = r#"{"cause":"volume is being used","message":"volume v is being used","response":409}"#;
    let (_fake, engine) = engine("5.2.5", move |asked| match asked.line.as_str() {
        line if line.contains("containers/gone") => {
            reply(404, r#"{"cause":"no such container","message":"m"}"#)
        }
        line if line.contains("containers/stuck") => {
            reply(200, r#"[{"Id":"stuck","Err":"device or resource busy"}]"#)
        }
        line if line.contains("networks") => reply(200, r#"[{"Name":"n","Err":null}]"#),
        line if line.contains("volumes") => reply(409, refusal),
        line if line.contains("secrets") => reply(204, ""),
        _ => reply(200, "[]"),
    })
    .await;
    assert!(!engine.remove("gone").await.expect("nothing to do"));
    let failure = engine.remove("stuck").await.expect_err("busy");
    assert_eq!(failure.message(), "the engine says: device or resource busy");
    assert!(engine.remove("a").await.expect("a removal"));
    assert!(engine.remove_network("n").await.expect("a removal"));
    assert!(engine.remove_secret("s").await.expect("a removal"));
    assert!(engine.remove_volume("v").await.expect_err("in use").is_conflict());
}

#[tokio::test]
async fn secrets_go_as_they_are_and_are_in_no_error() {
    let (fake, engine) = engine("5.2.5", |asked| match asked.line.starts_with("GET") {
        true => reply(200, r#"[{"ID":"1","Spec":{"Name":"t","Driver":{"Name":"file"},"Labels":{"a":"b"}}}]"#),
        false => reply(500, r#"{"cause":"secret name in use","message":"t: secret name in use"}"#),
    })
    .await;
    let labels = HashMap::from([("a".to_owned(), "b".to_owned())]);
    let failure = engine.create_secret("t", &labels, &Secret::new("s3cret")).await.expect_err("taken");
    assert!(failure.is_conflict() && !format!("{failure:?}").contains("s3cret"));
    let asked = fake.asked().pop().expect("a request");
    assert_eq!(asked.line, "POST /v5.0.0/libpod/secrets/create?name=t&labels=%7B%22a%22%3A%22b%22%7D");
    assert_eq!(asked.body, "s3cret");
    assert_eq!(engine.secrets().await.expect("a list")[0].spec.labels, labels);
}

#[tokio::test]
async fn events_of_both_versions_and_their_end() {
    let four = r#"{"status":"died","id":"a","from":"i","Type":"container","Action":"died","Actor":{"ID":"a","Attributes":{"containerExitCode":"3","k":"v"}},"scope":"local","time":1795268012,"timeNano":1795268012527377764}"#;
    let five = r#"{"Type":"container","Action":"oom","Actor":{"ID":"b","Attributes":null},"scope":"local","time":1795268013,"timeNano":1795268013000000000}"#;
    let (fake, engine) = engine("5.2.5", move |_| {
        vec![
            Step::Wait(Duration::from_millis(20)),
            endless(),
            chunk(&format!("{four}\n{five}\n")),
            Step::Write(b"0\r\n\r\n".to_vec()),
        ]
    })
    .await;
    let since = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
    let mut events = engine.events(&Filters::default(), since).await.expect("events, before any head");
    let first = events.next().await.expect("an event").expect("some");
    assert_eq!(
        (first.kind.as_str(), first.action.as_str(), first.actor.id.as_str()),
        ("container", "died", "a")
    );
    assert_eq!(first.actor.attributes["k"], "v");
    assert_eq!(events.next().await.expect("an event").expect("some").action, "oom");
    assert_eq!(events.next().await.expect("the end"), None);
    let asked = fake.asked().pop().expect("a request");
    assert_eq!(asked.line, "GET /v5.0.0/libpod/events?stream=true&since=7&filters=%7B%7D");
}

#[tokio::test]
async fn no_volume_goes_for_a_name_that_is_the_beginning_of_its_own() {
    // As services of 4.3 do it: an inspection takes a name, and a removal also the beginning of one.
    let there = r#"{"Name": "data-backup"}"#;
    let (fake, engine) = engine("4.3.1", move |asked| match asked.line.as_str() {
        line if line.starts_with("DELETE ") => reply(204, ""),
        // The second as some other version might have it.
        line if ["/data-backup/json", "/data-/json"].iter().any(|end| line.ends_with(end)) => {
            reply(200, there)
        }
        _ => reply(404, r#"{"cause": "no such volume", "message": "no such volume"}"#),
    })
    .await;
    for (name, removed) in [("data", false), ("data-", false), ("data-backup", true)] {
        assert_eq!(engine.remove_volume(name).await.expect("an answer"), removed, "{name}");
        let asked = fake.asked();
        assert_eq!(asked.iter().any(|asked| asked.line.starts_with("DELETE ")), removed, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_learned_of_a_container_that_is_gone() {
    let (_fake, engine) = engine("4.3.1", |asked| match asked.line.as_str() {
        line if line.ends_with("/containers/create") => reply(201, r#"{"Id": "c0ffee"}"#),
        _ => reply(404, r#"{"cause": "no such container", "message": "no such container"}"#),
    })
    .await;
    engine.create(&Spec::default()).await.expect("an id");
    assert!(!engine.ulimits.known());
}
