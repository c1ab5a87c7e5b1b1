//! Machines with the gateway's supervisor: the workload is held to what it is held to without one, and finds nothing of the
//! supervisor's; and the supervisor finds its gateway, whatever becomes of that. The gateway here says nothing: what there is to
//! see is who connects.

use openshell_driver_api::Secret;
use openshell_driver_api::supervisor::SOCKET;
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::bench::{Bench, PATIENCE, ready_message, request, sandbox_id};

const TOKEN: &str = "osb1.s3cret.t0ken";
/// What a client of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a workload sees of itself, and what it tries.
const WORKLOAD: &str = include_str!("../../../openshell-driver-common/tests/workload.sh");

/// The same for a machine: its first process is not the supervisor, so that what is not to be seen of the first is not to be
/// seen of the main process's parent either; and no engine has put a filter for system calls before the guest's own kernel.
fn workload() -> String {
    let of_the_parent: String = WORKLOAD
        .lines()
        .filter(|line| line.contains("/proc/1/"))
        .map(|line| line.replace("/proc/1/", "/proc/$PPID/") + "\n")
        .collect();
    assert!(!of_the_parent.is_empty() && WORKLOAD.contains("\nstatus Seccomp 2\n"), "{WORKLOAD}");
    WORKLOAD.replace("\nstatus Seccomp 2\n", &format!("\nstatus Seccomp 0\n{of_the_parent}"))
}

/// The console's lines, without what the supervisor says of its gateway, and the kernel of its end.
fn of_the_workload(console: &str) -> Vec<&str> {
    console
        .lines()
        .filter(|line| !line.starts_with("openshell-sandbox: ") && !line.starts_with('['))
        .collect()
}

/// A gateway's socket for a sandbox, in place of the one before it.
fn gateway(bench: &Bench, id: &str) -> UnixListener {
    let directory = bench.sockets().join(id);
    std::fs::create_dir_all(&directory).expect("a directory");
    let socket = directory.join(SOCKET);
    let _ = std::fs::remove_file(&socket);
    UnixListener::bind(socket).expect("a socket")
}

/// The supervisor's next connection.
async fn connected(gateway: &UnixListener, bench: &Bench, id: &str) -> UnixStream {
    let accepted = timeout(PATIENCE, async {
        loop {
            let (mut stream, _) = gateway.accept().await.expect("a connection");
            let mut begun = vec![0; PREFACE.len()];
            // One that had begun before the gateway before went has nothing more to say.
            if stream.read_exact(&mut begun).await.is_ok() {
                assert_eq!(begun, PREFACE);
                return stream;
            }
        }
    });
    accepted.await.unwrap_or_else(|_| panic!("nobody connects; console: {}", bench.console(id)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workload_has_what_it_has_without_and_finds_nothing_of_the_supervisor_s() {
    // Root in there finds no token either: its file is gone before the main process is there.
    for (config, expected) in
        [("", "user 0 group 0 in /sandbox"), ("user = 'sandbox'", "user 1000 group 1000 in /sandbox")]
    {
        let Some(bench) = Bench::supervised(config).await else { return };
        let mut request = request("inside", &["sh", "-c", &workload()]);
        request.spec.token = Secret::new(TOKEN);
        bench.driver().create(&request).await.expect("create");
        let ended = bench.until("inside", "ContainerExited").await;
        assert_eq!(ready_message(&ended), "the main process ended with exit code 7");
        let own = [
            "OPENSHELL_SANDBOX=name-of-inside",
            "OPENSHELL_SANDBOX_ID=inside",
            "OPENSHELL_TELEMETRY_ENABLED=false",
            "alive",
        ];
        let console = bench.console("inside");
        assert_eq!(of_the_workload(&console), [&[expected], &own[..]].concat(), "{config}");
        assert!(!console.contains(TOKEN), "{console}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_finds_its_gateway_whatever_becomes_of_it() {
    let Some(mut bench) = Bench::supervised("").await else { return };
    let id = sandbox_id("line");
    let script = "echo up $(cat /sandbox/count 2>/dev/null); echo again >/sandbox/count; trap 'echo bye; exit 3' TERM; \
                  while :; do sleep 0.1; done";
    let mut request = request("line", &["sh", "-c", script]);
    request.spec.token = Secret::new(TOKEN);
    let first = gateway(&bench, "line");
    bench.driver().create(&request).await.expect("create");
    let stream = connected(&first, &bench, "line").await;
    bench.until("line", "Running").await;
    // It hangs up; it goes, and another comes. The main process does not notice.
    drop(stream);
    let stream = connected(&first, &bench, "line").await;
    drop((first, stream));
    let second = gateway(&bench, "line");
    let stream = connected(&second, &bench, "line").await;
    drop((second, stream));
    assert_eq!(of_the_workload(&bench.console("line")), ["up"]);

    // Stopped and started, by this driver and by the next.
    bench.driver().stop(&id).await.expect("stop");
    let stopped = bench.until("line", "Stopped").await;
    assert_eq!(ready_message(&stopped), "stopped; the main process ended with exit code 3");
    let third = gateway(&bench, "line");
    bench.driver().start(&id).await.expect("start");
    drop(connected(&third, &bench, "line").await);
    bench.until_shown("line", "up again").await;
    bench.driver = None;
    bench.open().await;
    bench.driver().start(&id).await.expect("start");
    drop(connected(&third, &bench, "line").await);
    assert!(bench.driver().delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_and_the_image_s_own_command_are_as_they_are_without() {
    let Some(bench) = Bench::supervised("").await else { return };
    let mut request = request("tty", &["sh", "-c", "test -t 0 && test -t 1 && echo terminal $TERM; exit 5"]);
    request.spec.tty = true;
    request.spec.token = Secret::new(TOKEN);
    bench.driver().create(&request).await.expect("create");
    let ended = bench.until("tty", "ContainerExited").await;
    assert_eq!(ready_message(&ended), "the main process ended with exit code 5");
    assert!(bench.console("tty").contains("terminal xterm"), "{}", bench.console("tty"));

    // None: a shell, which waits for somebody to type.
    let gateway = gateway(&bench, "shell");
    let mut request = crate::bench::request("shell", &[]);
    request.spec.token = Secret::new(TOKEN);
    bench.driver().create(&request).await.expect("create");
    let _stream = connected(&gateway, &bench, "shell").await;
    bench.driver().stop(&sandbox_id("shell")).await.expect("stop");
    let stopped = bench.until("shell", "Stopped").await;
    assert_eq!(ready_message(&stopped), "stopped; the main process ended with exit code 143");
}
