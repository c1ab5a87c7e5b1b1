//! The end of the main process: reported, and passed on.

use std::time::{Duration, Instant};

use crate::gateway::{Gateway, Ways};
use crate::program::{Program, is_not_root, until};

#[tokio::test(flavor = "multi_thread")]
async fn its_code_is_reported_and_is_the_programs() {
    if is_not_root() {
        return;
    }
    for (script, code) in [("exit 0", 0), ("echo last words; exit 7", 7), ("kill -9 $$", 137)] {
        let gateway = Gateway::up(Ways::default());
        let began = Instant::now();
        let mut program = Program::start(&gateway, &["/bin/sh", "-c", script]);
        let status = program.ended().await;
        assert_eq!(status.code(), Some(code), "{script}: {}", program.printed("stderr"));
        let heard = gateway.heard();
        let exits: Vec<_> =
            heard.exits.iter().map(|exit| (exit.sandbox_id.as_str(), exit.exit_code)).collect();
        assert_eq!(exits, [("s-1", code)], "{script}");
        assert_eq!(heard.exits[0].instance_id, heard.hellos[0].instance_id);
        if script.contains("last words") {
            assert!(heard.logs.iter().any(|line| line.message == "last words"), "{:?}", heard.logs);
        }
        println!("`{script}` from its start to its report: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_tried_again_and_given_up_after_two_seconds() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways { refuse_reports: 2, ..Ways::default() });
    // What is tried for two seconds is the report alone: the link is up by then.
    let mut program = Program::start(&gateway, &["/bin/sh", "-c", "sleep 3; exit 4"]);
    gateway.session(0).await;
    assert_eq!(program.ended().await.code(), Some(4));
    assert_eq!(gateway.heard().exits.len(), 1);

    let nobody = Gateway::down(Ways::default());
    let mut program = Program::start(&nobody, &["/bin/sh", "-c", "sleep 1; exit 5"]);
    let began = Instant::now();
    assert_eq!(program.ended().await.code(), Some(5));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2900), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_comes_back_in_the_last_moment_hears_it() {
    if is_not_root() {
        return;
    }
    let mut gateway = Gateway::down(Ways::default());
    // Long enough for the pauses between the tries to be longer than what is left at the end.
    let mut program = Program::start(&gateway, &["/bin/sh", "-c", "sleep 4; echo over; exit 6"]);
    until("it is over", || program.printed("stdout").contains("over")).await;
    // A report is tried for two seconds.
    tokio::time::sleep(Duration::from_millis(500)).await;
    gateway.start();
    assert_eq!(program.ended().await.code(), Some(6));
    assert_eq!(gateway.heard().exits.len(), 1, "{}", program.printed("stderr"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_channels_run_ends_with_the_main_process() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways::default());
    let file = tempfile::NamedTempFile::new().expect("a file");
    let script = "while [ -e \"$0\" ]; do sleep 0.05; done; exit 8";
    let mut program =
        Program::start(&gateway, &["/bin/sh", "-c", script, &file.path().display().to_string()]);
    gateway.session(0).await;
    let mut exec = gateway.exec(&["/bin/sleep", "1000"]).await;
    exec.started().await;
    drop(file);
    assert_eq!(program.ended().await.code(), Some(8));
    assert_eq!(exec.outcome().await.code.filter(|code| *code == 0), None, "it did not end by itself");
}
