//! Dialling: late, silent, wrong and restarted programs.

use std::time::{Duration, Instant};

use openshell_driver_api::{ComputeDriver, Dialer as _, DriverError, ErrorKind};
use openshell_driver_remote::{DIALER, Deadlines, RemoteDriver, ServeOptions};

use crate::fake::Fake;
use crate::support::{PATIENCE, dial, id, place, request, serve_at};

async fn refused(path: &std::path::Path, patience: Duration) -> DriverError {
    DIALER.dial(request(path, patience)).await.err().expect("nobody to talk to")
}

#[tokio::test]
async fn a_socket_that_comes_up_late_is_waited_for() {
    let (_home, path) = place();
    let fake = Fake::new();
    let late = path.clone();
    let serving = fake.clone();
    let server = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        serve_at(&late, &serving, ServeOptions::default())
    });
    let remote = DIALER.dial(request(&path, PATIENCE)).await.expect("dial");
    assert_eq!(fake.state().greetings, 1);
    remote.list().await.expect("list");
    server.await.expect("no panic").stop().await;
}

#[tokio::test]
async fn an_absent_and_a_stale_socket_are_given_up_on_in_time() {
    let (_home, path) = place();
    let error = refused(&path, Duration::from_millis(300)).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let said = error.to_string();
    for part in [path.to_str().expect("text"), "`mine`", "found nothing", "waited 0.3 s", "`connect_timeout`"]
    {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert!(error.hint().is_some());

    drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
    let error = refused(&path, Duration::from_millis(100)).await;
    assert!(error.to_string().contains("found a socket that nobody listens on"), "{error}");
}

#[tokio::test]
async fn what_waiting_cannot_mend_fails_at_once() {
    let (home, path) = place();
    let patience = Duration::from_secs(60);
    let began = Instant::now();
    std::fs::write(&path, "").expect("write");
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("link");
    for (path, said) in [
        (path.as_path(), "a regular file"),
        (home.path(), "a directory"),
        (link.as_path(), "a symbolic link"),
    ] {
        let error = refused(path, patience).await;
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(cause.contains(said), "{cause}");
        assert!(error.hint().is_some());
    }
    let open_to_all = home.path().join("open");
    let _listener = openshell_uds::bind(&open_to_all).expect("bind");
    std::fs::set_permissions(&open_to_all, std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .expect("chmod");
    assert_eq!(refused(&open_to_all, patience).await.kind(), ErrorKind::PermissionDenied);
    assert!(began.elapsed() < patience, "took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_program_that_accepts_and_says_nothing_is_given_up_on_in_time() {
    let (_home, path) = place();
    let listener = openshell_uds::bind(&path).expect("bind");
    let given_up = refused(&path, Duration::from_millis(500));
    let error = tokio::time::timeout(PATIENCE, given_up).await.expect("in time");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("a program that does not answer"), "{error}");
    drop(listener);
}

#[tokio::test]
async fn a_program_that_falls_silent_later_is_a_deadline() {
    let (_home, path) = place();
    let served = serve_at(&path, &Fake::new(), ServeOptions::default());
    let deadlines = Deadlines { query: Duration::from_secs(2), ..Deadlines::default() };
    let remote = RemoteDriver::dial(request(&path, PATIENCE), deadlines).await.expect("dial");
    served.stop().await;
    let _silent = openshell_uds::bind(&path).expect("bind");
    let error = remote.list().await.expect_err("silence");
    assert!(matches!(error.kind(), ErrorKind::DeadlineExceeded | ErrorKind::Unavailable), "{error}");
    let error = remote.list().await.expect_err("silence");
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
}

#[tokio::test]
async fn an_empty_answer_is_no_driver() {
    let (_home, path) = place();
    let fake = Fake::new();
    fake.state().name = String::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let (began, patience) = (Instant::now(), Duration::from_secs(60));
    let error = refused(&path, patience).await;
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    assert!(error.to_string().contains("it has no `driver_name`"), "{error}");
    assert!(began.elapsed() < patience);
    served.stop().await;
}

#[tokio::test]
async fn a_driver_that_restarts_is_reached_and_asked_again() {
    let (_home, path) = place();
    let fake = Fake::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let remote = dial(&path).await;
    remote.list().await.expect("list");
    assert_eq!(fake.state().greetings, 1, "once for each connection");
    served.stop().await;

    // Away: said so, with what lies at the path.
    let error = error_with(&remote, "found nothing").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    let served = serve_at(&path, &fake, ServeOptions::default());
    fake.add("a", "n");
    remote.get(&id("a")).await.expect("it comes back by itself");
    eventually(|| fake.state().greetings == 2).await;
    served.stop().await;

    // Back as something else: it is not used.
    fake.state().name = String::new();
    let served = serve_at(&path, &fake, ServeOptions::default());
    let _ = remote.list().await;
    eventually(|| fake.state().greetings == 3).await;
    error_with(&remote, "is not used").await;
    served.stop().await;
}

/// The error that the driver settles on: the first ones after a hang-up may still be the broken connection.
async fn error_with(remote: &RemoteDriver, words: &str) -> DriverError {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = remote.list().await.expect_err("away");
        if error.to_string().contains(words) {
            return error;
        }
        assert!(Instant::now() < deadline, "`{words}` is not in: {error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn eventually(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to hold");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
