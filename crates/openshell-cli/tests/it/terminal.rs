//! What a person at a terminal sees: colours, a table that fits, a line that is written over, a question.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{PlatformEvent, SandboxPhase, SandboxStreamEvent};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::fake::{Gateway, sandbox, seen};
use crate::openshell;

/// Runs the program on a terminal of this width, types `typed`, and gives the exit code and all that was shown.
fn on_terminal(
    gateway: &Gateway,
    columns: u16,
    line: &str,
    typed: &str,
    variables: &[(&str, &str)],
) -> (i32, String) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("its other end");
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).expect("its size");
    let name = ptsname(&ours, Vec::new()).expect("its name").into_string().expect("UTF-8");
    let theirs = || Stdio::from(File::options().read(true).write(true).open(&name).expect("its other end"));
    let mut ours = File::from(ours);
    ours.write_all(typed.as_bytes()).expect("it takes what is typed");
    let mut command = openshell(&gateway.socket());
    command.args(line.split(' ')).envs(variables.iter().copied());
    command.stdin(theirs()).stdout(theirs()).stderr(theirs());
    let mut child = command.spawn().expect("the program runs");
    // The command holds the other end, too.
    drop(command);
    let mut shown = Vec::new();
    // Linux says EIO, not the end, when the other end has been closed.
    let _ = ours.read_to_end(&mut shown);
    let code = child.wait().expect("its end").code().expect("a code");
    (code, String::from_utf8(shown).expect("text").replace("\r\n", "\n"))
}

fn gateway() -> Gateway {
    let gateway = Gateway::start();
    for (name, phase) in [("a", SandboxPhase::Ready), ("b", SandboxPhase::Error)] {
        let mut one = sandbox(name, phase, "", "");
        let template = one.spec.as_mut().and_then(|spec| spec.template.as_mut()).expect("a template");
        template.image = "registry.example.org/a/very/long/image:1".to_owned();
        gateway.state().sandboxes.push(one);
    }
    gateway
}

#[test]
fn a_table_fits_and_has_colours_unless_they_are_not_wanted() {
    let gateway = gateway();
    let (code, plain) = on_terminal(&gateway, 50, "sandbox list", "", &[("NO_COLOR", "1")]);
    assert_eq!(code, 0, "{plain}");
    assert!(!plain.contains('\u{1b}') && plain.contains("registry.exa"), "{plain}");
    assert!(plain.lines().all(|line| line.chars().count() <= 50) && plain.contains('…'), "{plain}");
    let (_, coloured) = on_terminal(&gateway, 200, "sandbox list", "", &[]);
    assert!(
        coloured.contains("\u{1b}[32mready\u{1b}[0m") && coloured.contains("\u{1b}[31merror\u{1b}[0m"),
        "{coloured}"
    );
    assert!(coloured.contains("image:1"), "{coloured}");
    let (_, dumb) = on_terminal(&gateway, 200, "sandbox list", "", &[("TERM", "dumb")]);
    assert!(!dumb.contains('\u{1b}'), "{dumb}");
}

#[test]
fn many_are_asked_about() {
    let gateway = gateway();
    let (code, shown) = on_terminal(&gateway, 80, "sandbox delete --all", "n\n", &[]);
    assert_eq!(code, 1, "{shown}");
    assert!(
        shown.contains("delete 2 sandboxes: a, b? [y/N] ") && shown.contains("error: nothing was done"),
        "{shown}"
    );
    let phase = |gateway: &Gateway| gateway.state().sandboxes[0].status.as_ref().expect("a status").phase;
    assert_eq!(phase(&gateway), i32::from(SandboxPhase::Ready));
    let (code, shown) = on_terminal(&gateway, 80, "sandbox delete --all", "y\n", &[]);
    assert_eq!(code, 0, "{shown}");
    assert_eq!(phase(&gateway), i32::from(SandboxPhase::Deleting));
}

#[test]
fn a_pull_is_a_bar_that_is_written_over_and_goes() {
    let gateway = Gateway::start();
    let metadata = [
        ("image", "busybox:1"),
        ("layers", "2"),
        ("layers_done", "1"),
        ("bytes", "512"),
        ("bytes_total", "1024"),
    ];
    let event = PlatformEvent {
        reason: "ImagePullProgress".to_owned(),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..PlatformEvent::default()
    };
    gateway.state().scripts.push_back(vec![
        seen(sandbox("a", SandboxPhase::Provisioning, "", "")),
        Ok(SandboxStreamEvent { payload: Some(Payload::Event(event)) }),
        seen(sandbox("a", SandboxPhase::Ready, "", "")),
    ]);
    let (code, shown) = on_terminal(&gateway, 120, "sandbox create --name a --wait", "", &[]);
    assert_eq!(code, 0, "{shown}");
    let bar = "\ra: pulling busybox:1  [############............]  512 B/1.0 KiB, 1/2 layers  ";
    assert!(shown.contains(bar), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[K"), "{shown:?}");
}
