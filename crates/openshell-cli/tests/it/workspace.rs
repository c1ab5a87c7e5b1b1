//! `workspace`, and which workspace counts when none is named.

use serde_json::json;

use crate::fake::Gateway;
use crate::{line, openshell};

#[test]
fn workspaces_come_and_go() {
    let gateway = Gateway::start();
    let socket = gateway.socket();
    assert_eq!(line(&socket, "workspace create team --label tier=web").good(), "team\n");
    assert_eq!(
        line(&socket, "workspace create team").bad(4),
        "error: cannot create workspace `team`\n  caused by: workspace `team` is there already\n\
         hint: see it: openshell workspace get team\n"
    );
    let list = line(&socket, "ws ls -o wide").good();
    let words: Vec<&str> = list.split_whitespace().collect();
    assert_eq!(words[..5], ["NAME", "PHASE", "AGE", "ID", "LABELS"], "{list}");
    assert_eq!((words[5], words[6], words[8], words[9]), ("team", "active", "id-team", "tier=web"), "{list}");
    assert_eq!(line(&socket, "workspace list -o name").good(), "team\n");
    assert!(line(&socket, "workspace get team").good().starts_with("name:     team\nid:       id-team\n"));
    assert_eq!(line(&socket, "workspace get team --json").json()["status"], json!({ "phase": "active" }));
    assert_eq!(
        line(&socket, "workspace get nope").bad(3),
        "error: cannot get workspace `nope`\n  caused by: there is no workspace `nope`\n\
         hint: see which there are: openshell workspace list\n"
    );
    let run = line(&socket, "workspace delete team nope");
    assert_eq!((run.code, run.out.as_str()), (Some(3), "team\n"));
    assert!(run.err.ends_with("error: 1 of 2 failed\n"), "{}", run.err);
}

#[test]
fn the_option_wins_over_the_variable() {
    let gateway = Gateway::start();
    let socket = gateway.socket();
    for (variable, option, asked) in
        [("", "", ""), ("from-env", "", "from-env"), ("from-env", "given", "given"), ("", "given", "given")]
    {
        let mut command = openshell(&socket);
        command.env("OPENSHELL_WORKSPACE", variable).args(["sandbox", "list"]);
        if !option.is_empty() {
            command.args(["--workspace", option]);
        }
        assert!(command.output().expect("it runs").status.success());
        assert_eq!(gateway.state().lists.pop().expect("a request").workspace, asked);
    }
}
