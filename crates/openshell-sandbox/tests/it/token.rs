//! The token: shown to the gateway, renewed, and nowhere else.

use std::time::Duration;

use crate::gateway::{Gateway, PATIENCE, TOKEN, Ways};
use crate::program::{Program, is_not_root, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_is_asked_for_and_renewed_before_it_expires() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways { token_life: Duration::from_secs(4), ..Ways::default() });
    let _program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    gateway.session(0).await;
    let began = std::time::Instant::now();
    while gateway.heard().refreshes < 4 {
        assert!(began.elapsed() < PATIENCE, "{:?}", gateway.heard().calls);
        // A stream is taken with a good token only.
        assert_eq!(gateway.exec(&["/bin/true"]).await.outcome().await.code, Some(0));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let heard = gateway.heard();
    assert_eq!(heard.hellos.len(), 1, "a new token needs no new session");
    let boot: Vec<_> = heard.calls.iter().filter(|(_, token)| token == TOKEN).collect();
    assert_eq!(boot.len(), 1, "the boot token is shown once: {boot:?}");
    assert_eq!(boot[0].0, "RefreshSandboxToken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_forgets_its_tokens_is_shown_the_first_one_again() {
    if is_not_root() {
        return;
    }
    let mut gateway = Gateway::up(Ways::default());
    let _program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    let first = gateway.session(0).await;
    gateway.kill();
    gateway.forget_tokens();
    gateway.start();
    gateway.session(first).await;
    assert_eq!(gateway.exec(&["/bin/true"]).await.outcome().await.code, Some(0));
    let boots = gateway.heard().calls.iter().filter(|(_, token)| token == TOKEN).count();
    assert_eq!(boots, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_where_the_sandbox_or_a_reader_of_logs_can_see_it() {
    if is_not_root() {
        return;
    }
    let mut gateway = Gateway::up(Ways { token_life: Duration::from_secs(2), ..Ways::default() });
    let program = Program::start(&gateway, &["/bin/sh", "-c", "env; sleep 1000"]);
    let first = gateway.session(0).await;
    let look = "env; cat /proc/self/environ /proc/$PPID/cmdline";
    let outcome = gateway.exec(&["/bin/sh", "-c", look]).await.outcome().await;
    let seen = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(seen.contains("OPENSHELL_SANDBOX_ID=s-1"), "it is a sandbox's environment: {seen}");
    // Trouble is what is told.
    gateway.ways().reject = Some("not now".to_owned());
    gateway.forget_tokens();
    gateway.cut();
    gateway.until("a hello that is refused", |heard| (heard.hellos.len() >= 2).then_some(())).await;
    gateway.kill();
    until("it is told", || program.printed("stderr").contains("cannot reach the gateway")).await;
    gateway.ways().reject = None;
    gateway.start();
    gateway.session(first).await;
    gateway
        .until("the log", |heard| {
            (heard.logs.iter().any(|line| line.message.contains("reach"))).then_some(())
        })
        .await;

    let heard = gateway.heard();
    let told = format!("{:?} {:?} {:?}", heard.logs, heard.closes, heard.hellos);
    for (place, text) in [
        ("an exec's environment", seen.as_str()),
        ("standard output", &program.printed("stdout")),
        ("standard error", &program.printed("stderr")),
        ("what the gateway hears", &told),
    ] {
        assert!(!text.contains(TOKEN), "{place}: {text}");
        assert!(!text.contains("OPENSHELL_SANDBOX_TOKEN_FILE"), "{place}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_used_ends_the_start_and_is_not_shown() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways::default());
    let mut program = Program::with_token(&gateway, "s3cret and more");
    assert_eq!(program.ended().await.code(), Some(125));
    let printed = program.printed("stderr");
    assert!(printed.contains("there is no token in"), "{printed}");
    assert!(!printed.contains("s3cret"), "{printed}");
}
