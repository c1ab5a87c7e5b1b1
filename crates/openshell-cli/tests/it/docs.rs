//! The session in `docs/cli.md` is what the program prints.

use std::time::{SystemTime, UNIX_EPOCH};

use openshell_proto::openshell::v1::SandboxPhase;

use crate::fake::{Gateway, sandbox, seen};
use crate::line;

const DOCS: &str = include_str!("../../../../docs/cli.md");
/// What is another on every machine, as the text has it.
const SOCKET: &str = "/run/user/1000/openshell/gateway.sock";
const ID: &str = "0b5c1f0e-6e0f-4a6e-9a53-2f0d6b0c7d11";

#[test]
fn the_session_is_what_the_program_prints() {
    let gateway = Gateway::start();
    let state = |phase| seen(sandbox("demo", phase, "", ""));
    // What the three commands that wait, and the one that deletes, see.
    gateway.state().scripts.extend([
        vec![state(SandboxPhase::Provisioning), state(SandboxPhase::Ready)],
        vec![state(SandboxPhase::Stopping), state(SandboxPhase::Stopped)],
        vec![state(SandboxPhase::Starting), state(SandboxPhase::Ready)],
        vec![state(SandboxPhase::Deleting)],
    ]);

    let session = DOCS.split_once("```console\n").expect("a session").1.split_once("```").expect("its end").0;
    let mut printed = String::new();
    for command in session.lines().filter_map(|line| line.strip_prefix("$ openshell ")) {
        // Four seconds old, whenever this runs.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        for sandbox in &mut gateway.state().sandboxes {
            let metadata = sandbox.metadata.get_or_insert_default();
            metadata.created_at_ms = i64::try_from(now).expect("before the year 292 million") - 4_100;
            ID.clone_into(&mut metadata.id);
        }
        let out = line(&gateway.socket(), command).done();
        printed += &format!(
            "$ openshell {command}\n{}",
            out.replace(&gateway.socket().display().to_string(), SOCKET)
        );
    }
    assert_eq!(printed, session);
}
