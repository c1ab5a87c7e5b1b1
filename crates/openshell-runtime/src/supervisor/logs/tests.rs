//! What is kept of logs, and what those who follow get.

use super::*;

fn line(number: i64) -> SandboxLogLine {
    SandboxLogLine { timestamp_ms: number, level: "INFO".to_owned(), ..Default::default() }
}

fn logs() -> Logs {
    let logs = Logs::new(Arc::default());
    logs.keep("a");
    logs
}

fn times(lines: &[Line]) -> Vec<i64> {
    lines.iter().map(|line| line.timestamp_ms).collect()
}

/// How many bytes are counted, and how many there are.
fn bytes(logs: &Logs) -> (usize, usize) {
    let rings = logs.rings();
    (rings.bytes, rings.by_sandbox.values().map(Ring::bytes).sum())
}

#[tokio::test]
async fn the_latest_are_kept_within_lines_and_bytes() {
    let logs = logs();
    assert!(logs.push("a", (0..5000).map(line).collect()).await);
    let (all, held) = logs.latest("a", &Query::default(), usize::MAX);
    assert_eq!((held, times(&all)), (2000, (3000..5000).collect()));
    let large = |number| SandboxLogLine { message: "m".repeat(10_000), ..line(number) };
    assert!(logs.push("a", (0..100).map(large).collect()).await);
    let (_, held) = logs.latest("a", &Query::default(), 0);
    assert!((48..53).contains(&held), "{held}");
    assert_eq!(bytes(&logs).0, bytes(&logs).1);
    logs.forget("a");
    assert_eq!(bytes(&logs), (0, 0));
    assert!(!logs.push("a", vec![line(1)]).await, "nobody keeps what has gone");
}

#[tokio::test]
async fn a_line_that_is_too_long_is_cut_and_is_the_sender_s() {
    let logs = logs();
    let fields = (0..100).map(|number| (format!("f{number}"), "v".repeat(5000))).collect();
    let long = SandboxLogLine {
        sandbox_id: "another".to_owned(),
        message: "ü".repeat(20_000),
        level: "l".repeat(1000),
        fields,
        ..line(1)
    };
    assert!(logs.push("a", vec![long]).await);
    let (lines, _) = logs.latest("a", &Query::default(), 1);
    assert_eq!(lines[0].sandbox_id, "a");
    assert!(lines[0].message.len() <= 16 * 1024 && lines[0].message.ends_with("ü… (cut)"));
    assert_eq!((lines[0].level.len(), lines[0].fields.len()), (256, 32));
    assert!(lines[0].fields.values().all(|value| value.len() <= 1024));
}

#[tokio::test]
async fn only_what_is_asked_for() {
    let logs = logs();
    let said = |number, level: &str, source: &str| SandboxLogLine {
        level: level.to_owned(),
        source: source.to_owned(),
        ..line(number)
    };
    let lines = vec![said(1, "DEBUG", "sandbox"), said(2, "Warning", "main"), said(3, "OCSF", "sandbox")];
    assert!(logs.push("a", lines).await);
    let ask = |since, sources: &[&str], level| {
        let sources = sources.iter().map(|source| (*source).to_owned()).collect();
        times(&logs.latest("a", &Query::new(since, sources, level), 10).0)
    };
    assert_eq!(ask(0, &[], ""), [1, 2, 3]);
    assert_eq!(ask(2, &[], ""), [2, 3]);
    assert_eq!(ask(0, &["main"], ""), [2]);
    assert_eq!(ask(0, &[], "info"), [2, 3]);
    assert_eq!(ask(0, &[], "WARN"), [2]);
    assert_eq!(ask(0, &[], "off"), [0_i64; 0]);
    assert_eq!(times(&logs.latest("a", &Query::default(), 2).0), [2, 3], "the latest");
}

#[tokio::test]
async fn who_follows_gets_everything_in_order_and_who_falls_behind_is_told() {
    let logs = logs();
    assert!(logs.push("a", (0..10).map(line).collect()).await);
    let (tail, follower) = logs.follow("a", Query::default(), 3);
    assert_eq!(times(&tail), [7, 8, 9]);
    let (mut fast, (_, slow)) = (follower.unwrap(), logs.follow("a", Query::default(), 0));
    let push = logs.push("a", (10..6000).map(line).collect());
    let read = async {
        let mut seen = Vec::new();
        while seen.len() < 5990 {
            seen.extend(times(&fast.next(&logs).await.unwrap()));
        }
        seen
    };
    let (pushed, seen) = tokio::join!(push, read);
    assert!(pushed && seen == (10..6000).collect::<Vec<_>>());
    assert_eq!(slow.unwrap().next(&logs).await.map(|_| ()), Err(Behind));
}

#[test]
fn all_together_are_bounded_and_the_longest_pays() {
    let logs = logs();
    logs.keep("b");
    let mut rings = logs.rings();
    let Rings { by_sandbox, bytes } = &mut *rings;
    for (sandbox, count) in [("a", 4), ("b", 100)] {
        let ring = by_sandbox.get_mut(sandbox).unwrap();
        (0..count).for_each(|number| ring.push(Arc::new(line(number))));
        *bytes += ring.bytes();
    }
    let half = rings.bytes / 2;
    rings.shrink(half);
    assert!(rings.bytes <= half);
    assert_eq!((rings.by_sandbox["a"].len(), rings.by_sandbox["b"].len()), (4, 25));
}
