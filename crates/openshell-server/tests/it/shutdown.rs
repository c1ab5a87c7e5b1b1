//! SIGTERM: how soon the gateway is gone, and what those who were connected are told.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::backend::{DOCKER, Leftovers};
use crate::harness::{Home, program, text};

#[test]
fn somebody_who_watches_does_not_hold_it_up_and_is_told() {
    let Some(client) = program("openshell").filter(|_| DOCKER.is_there()) else { return };
    let home = Home::new();
    let id = format!("e2e-{}-stop", std::process::id());
    let _leftovers = Leftovers(DOCKER, id.clone());
    let serve = ["--drivers", "docker", "--gateway-id", &id];
    let gateway = home.serve(&serve);
    let run = |args: &[&str]| {
        let output = home.command(&client).args(args).output().expect("the client starts");
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    };
    run(&[
        "sandbox",
        "create",
        "--name",
        "one",
        "--image",
        &(DOCKER.image)(),
        "--wait",
        "--",
        "sleep",
        "300",
    ]);
    let mut watch = home.command(&client);
    let watch = watch.args(["sandbox", "watch", "one"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = watch.spawn().expect("the client starts");
    // Its first word is the sandbox as it is: from then on it watches.
    let mut words = BufReader::new(watch.stdout.take().expect("a pipe"));
    let mut first = String::new();
    words.read_line(&mut first).expect("a line");
    assert!(!first.is_empty(), "it has ended");

    let start = Instant::now();
    assert!(gateway.terminate().success());
    // Streams that do not end by themselves are waited for that long.
    assert!(start.elapsed() < Duration::from_secs(10), "it waited: {:?}", start.elapsed());
    let told = text(&watch.wait_with_output().expect("a child").stderr);
    assert!(told.contains("the gateway is going away"), "{told}");

    let gateway = home.serve(&serve);
    run(&["sandbox", "delete", "one"]);
    assert!(gateway.terminate().success());
}
