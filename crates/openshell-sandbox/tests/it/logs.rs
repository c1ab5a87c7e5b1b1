//! Lines on their way to the gateway's log.

use openshell_proto::numbered;

use crate::gateway::{Gateway, Heard, Ways};
use crate::program::{Program, is_not_root, until};

fn messages<'a>(heard: &'a Heard, source: &str) -> Vec<&'a str> {
    heard.logs.iter().filter(|line| line.source == source).map(|line| line.message.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_main_process_prints_and_the_supervisor_says_gets_there() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways::default());
    let script = "echo one; echo two >&2; seq 1 300; sleep 1000";
    let _program = Program::start(&gateway, &["/bin/sh", "-c", script]);
    gateway.until("all lines", |heard| (messages(heard, "main").len() == 302).then_some(())).await;
    let heard = gateway.heard();
    let line =
        |message: &str| heard.logs.iter().find(|line| line.message == message).expect("a line").clone();
    let (one, two) = (line("one"), line("two"));
    assert_eq!((one.level.as_str(), one.target.as_str(), one.sandbox_id.as_str()), ("info", "stdout", "s-1"));
    assert_eq!((two.level.as_str(), two.target.as_str()), ("info", "stderr"));
    let numbers: Vec<_> =
        messages(&heard, "main").into_iter().filter(|line| line.parse::<u32>().is_ok()).collect();
    let expected: Vec<_> = (1..=300).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected, "in order");
    assert_eq!(messages(&heard, "supervisor"), ["connected to the gateway"]);
    assert!(heard.batches <= 10, "{} batches for 303 lines", heard.batches);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_while_the_gateway_is_away_gets_there_later() {
    if is_not_root() {
        return;
    }
    let mut gateway = Gateway::up(Ways::default());
    let script = "echo before; read line </dev/null; while [ ! -e \"$0\" ]; do sleep 0.05; done; echo meanwhile; sleep 1000";
    let go = tempfile::tempdir().expect("a directory");
    let file = go.path().join("go");
    let program = Program::start(&gateway, &["/bin/sh", "-c", script, &file.display().to_string()]);
    let first = gateway.session(0).await;
    gateway.until("the first line", |heard| messages(heard, "main").contains(&"before").then_some(())).await;
    gateway.kill();
    std::fs::write(&file, "").expect("a file");
    until("the second line", || program.printed("stdout").contains("meanwhile")).await;
    gateway.start();
    gateway.session(first).await;
    gateway
        .until("the second line", |heard| messages(heard, "main").contains(&"meanwhile").then_some(()))
        .await;
    let heard = gateway.heard();
    let said = messages(&heard, "supervisor");
    assert!(said.iter().any(|line| line.contains("trying again")), "why it was away: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_had_that_ended_is_handed_over_again_where_lines_are_counted() {
    if is_not_root() {
        return;
    }
    for counts in [false, true] {
        let mut gateway = Gateway::up(Ways { counts, ..Ways::default() });
        let _program = Program::start(&gateway, &["/bin/sh", "-c", "seq 1 100; sleep 1000"]);
        let first = gateway.session(0).await;
        gateway.until("all lines", |heard| (messages(heard, "main").len() == 100).then_some(())).await;
        gateway.kill();
        // What it had in its memory is gone with it.
        gateway.heard().logs.clear();
        gateway.start();
        gateway.session(first).await;
        gateway
            .until("why it was away", |heard| {
                messages(heard, "supervisor").iter().any(|line| line.contains("trying again")).then_some(())
            })
            .await;
        let heard = gateway.heard();
        let numbers: Vec<_> =
            messages(&heard, "main").into_iter().filter(|line| line.parse::<u32>().is_ok()).collect();
        let expected: Vec<_> = (1..=100).map(|number| number.to_string()).collect();
        assert_eq!(numbers == expected, counts, "{numbers:?}");
        let run = &heard.hellos[0].instance_id;
        let place = counts.then(|| numbered::From { first: 0, run: run.clone() });
        assert!(heard.froms.iter().all(|from| *from == place), "{:?}", heard.froms);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_reads_no_logs_loses_the_oldest_and_hears_how_many() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways { ignore_logs: true, ..Ways::default() });
    let program = Program::start(&gateway, &["/bin/sh", "-c", "seq 1 1000000; echo done; sleep 1000"]);
    until("all is printed", || program.printed("stdout").ends_with("done\n")).await;
    assert_eq!(gateway.exec(&["/bin/true"]).await.outcome().await.code, Some(0), "nothing else is held up");
    println!("after a million lines that nobody took: {}", program.memory());
    gateway.ways().ignore_logs = false;
    gateway.until("the last line", |heard| messages(heard, "main").contains(&"done").then_some(())).await;
    let heard = gateway.heard();
    let dropped: usize = messages(&heard, "supervisor")
        .iter()
        .filter_map(|line| line.split_once(" lines before this were dropped")?.0.parse::<usize>().ok())
        .sum();
    assert_eq!(dropped + messages(&heard, "main").len(), 1_000_001, "each line came or was counted");
    assert!(dropped > 0);
}
