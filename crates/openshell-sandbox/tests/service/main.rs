//! Channels, in one process with their supervisor and with real processes: commands, terminals, files, broken
//! channels.
//!
//! No harness of the standard one: the supervisor starts keepers and second stages by starting the program that it is
//! in, which is this one.

mod channel;
mod commands;
mod ends;
mod files;
#[path = "../skip/mod.rs"]
mod skip;
mod terminals;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openshell_guest::user::User;
use openshell_sandbox::{Identity, Sandbox};
use tokio::time::timeout;

/// How long a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

type Test = (&'static str, fn(Arc<Sandbox>) -> Pin<Box<dyn Future<Output = ()> + Send>>);

/// The tests of these names, each an async function that takes the sandbox.
macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), |sandbox| Box::pin($module::$name(sandbox)))),*]
    };
}

const TESTS: &[Test] = tests![
    commands::says_what_it_prints_and_how_it_ended,
    commands::has_the_users_identity_and_no_secret,
    commands::has_no_descriptor_of_the_supervisors,
    commands::reads_its_input_to_the_end,
    commands::input_that_nobody_reads_is_no_harm,
    commands::a_program_that_is_not_there,
    commands::is_signalled_as_a_group,
    commands::is_ended_in_time,
    commands::waits_for_who_does_not_read,
    commands::a_hundred_at_once,
    commands::one_that_is_stuck_holds_up_nobody,
    ends::whoever_is_left_behind_does_not_hold_up_the_end,
    ends::a_broken_channel_ends_everything,
    ends::a_broken_channel_ends_who_forks_without_end,
    ends::a_broken_channel_is_seen_while_input_waits,
    ends::a_keeper_that_is_killed_takes_its_command_along,
    ends::a_keeper_that_is_stopped_keeps_no_channel,
    ends::leaves_no_zombie,
    terminals::is_one,
    terminals::has_the_size_that_it_is_given,
    terminals::passes_control_c_and_the_end_of_input,
    files::go_in_and_out_as_they_are,
    files::gnu_tar_understands_and_is_understood,
    files::no_path_leads_out,
    files::what_is_there_is_replaced_and_not_followed,
    files::what_the_user_may_not_is_refused,
    files::a_cut_archive_is_an_error,
    files::one_entry_may_get_another_name,
    files::a_channel_that_breaks_leaves_no_half,
    files::large_ones_need_little_memory,
];

fn main() -> ExitCode {
    let first = std::env::args().nth(1).unwrap_or_default();
    if ["second-stage", "keeper", "files"].contains(&first.as_str()) {
        return openshell_sandbox::main();
    }
    if !rustix::process::getuid().is_root() {
        skip::say("these tests start processes as another user, and want to be root");
        return ExitCode::SUCCESS;
    }
    let confined = first.is_empty().then(confined);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let failed = runtime.block_on(run(&first));
    match (failed, confined) {
        (0, None | Some(true)) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Some of the tests once more, with no more capabilities than a supervisor in a container has: whether they pass.
fn confined() -> bool {
    let program = std::env::current_exe().expect("this program");
    let mut command = std::process::Command::new("setpriv");
    command.args([
        "--no-new-privs",
        "--inh-caps",
        "-all",
        "--bounding-set",
        "-all,+setuid,+setgid,+kill,+setpcap",
    ]);
    let passed = command.arg(program).arg("terminals,has_the,in_time,ends_everything").status();
    passed.is_ok_and(|passed| passed.success())
}

async fn run(filter: &str) -> usize {
    let user = User { uid: 1000, gid: 1000, groups: vec![1000, 44], home: "/home/sandbox".to_owned() };
    let environment = [
        ("A", "of the sandbox"),
        ("OPENSHELL_SANDBOX_TOKEN_FILE", "/a/token"),
        ("OPENSHELL_ENDPOINT", "unix:///an/endpoint"),
        ("OPENSHELL_MAIN_PROCESS_SPEC", "{}"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let identity = Identity::new(user, "/".to_owned(), 0, environment.into_iter(), "/root");
    let main = ["sleep", "1000000"].map(str::to_owned).to_vec();
    let (sandbox, _output) = Sandbox::start(main, false, identity).expect("a sandbox");
    let sandbox = Arc::new(sandbox);
    let mut failed = 0;
    let wanted = |name: &str| filter.starts_with('-') || filter.split(',').any(|word| name.contains(word));
    for (name, test) in TESTS.iter().filter(|(name, _)| wanted(name)) {
        let begun = Instant::now();
        let future = AssertUnwindSafe(test(sandbox.clone()));
        let passed = match timeout(PATIENCE, tokio::spawn(future.0)).await {
            Ok(Ok(())) => "ok",
            Ok(Err(_)) => "FAILED",
            Err(_) => "FAILED: it takes too long",
        };
        failed += usize::from(passed != "ok");
        println!("test {name} … {passed} ({:.2?})", begun.elapsed());
    }
    // The main process, by its own channel: the last test, and the end.
    let ended = channel::Channel::main(&sandbox).signal(9).await.end().await;
    assert_eq!(ended.code, 137, "the main process is ended by its signal");
    println!("{failed} failed");
    failed
}
