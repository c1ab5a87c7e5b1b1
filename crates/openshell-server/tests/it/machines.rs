//! What befalls virtual machines: a guest that hangs, a kernel that panics, and every order in which the driver's program
//! and the gateway may be killed. No QEMU outlives its driver, and no disk is lost.

use std::time::Instant;

use rustix::process::Signal;

use crate::backend::{VM, VM_INIT};
use crate::harness::{PATIENCE, Process, processes, signal};
use crate::lifecycle::{Driver, RUNS, Stage};

/// Counts its runs in its workspace, says so once the number is on the disk, and ends with the fifth.
const COUNTS: &str = "n=$(cat /sandbox/runs); n=$((n + 1)); echo $n > /sandbox/runs; sync; echo this is run $n; \
                      test $n = 5 && exit 5; trap 'exit 0' TERM; sleep 600 & wait";

impl Stage {
    /// The machines.
    fn machines(&self) -> Vec<i32> {
        processes(&["qemu", &format!("openshell-{}.", self.id)])
    }

    /// Waits for something, and gives what the gateway logged when it does not come.
    fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let log = self.gateway.as_ref().map(Process::log).unwrap_or_default();
            assert!(Instant::now() < deadline, "never: {what}\n{log}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// What the one machine there is has said on its console.
    fn console(&self) -> String {
        let sandboxes = self.home.state("drivers").join(VM.name).join(&self.id).join("sandboxes");
        let directory = std::fs::read_dir(sandboxes).ok().and_then(|mut entries| entries.next()?.ok());
        directory
            .and_then(|directory| std::fs::read_to_string(directory.path().join("console.log")).ok())
            .unwrap_or_default()
    }

    /// Waits until the main process of the one machine has counted this run, and one can work in it.
    fn wait_for_run(&self, number: usize) {
        let said = format!("this is run {number}");
        self.until(&said, |stage| stage.console().contains(&said));
        self.wait_for_phase("one", "ready");
        assert_eq!(self.ok(&["sandbox", "exec", "one", "--", "cat", "/sandbox/runs"]), format!("{number}\n"));
    }
}

#[test]
fn a_guest_that_hangs_and_a_kernel_that_panics_are_errors_in_words() {
    let Some(mut stage) = Stage::set(VM, Driver::ByName) else { return };
    let image = (VM.image)();
    let create = |name, more: &[&str]| {
        let first = ["sandbox", "create", "--name", name, "--image", &image];
        stage.ok(&[&first, more, &["--", "sh", "-c", RUNS]].concat())
    };
    create("hangs", &["--wait=120"]);
    signal(stage.machines()[0], Signal::STOP);
    // What is read anew for a machine with other devices is no program now.
    let init = stage.home.path(VM_INIT);
    std::fs::remove_file(&init).expect("a link");
    std::fs::write(&init, "#!/no/interpreter\n").expect("a file");
    create("panics", &["--driver-config", r#"{"vm": {"network": "user"}}"#]);
    let ended = stage.wait_for_phase("panics", "error").to_string();
    assert!(ended.contains("Kernel panic - not syncing: "), "{ended}");
    let ended = stage.wait_for_phase("hangs", "error").to_string();
    assert!(ended.contains("did not answer for 10 s and was killed"), "{ended}");
    stage.wait_for_running(0);
    stage.ok(&["sandbox", "start", "hangs", "--wait=120"]);
    assert!(stage.gateway.take().expect("a gateway").terminate().success());
    stage.until("nothing runs", |stage| processes(&[&stage.id]).is_empty());
}

#[test]
fn no_machine_outlives_its_driver_or_its_gateway_and_each_runs_again_with_its_disk() {
    let Some(mut stage) = Stage::set(VM, Driver::ByName) else { return };
    let image = (VM.image)();
    stage.ok(&[
        "sandbox",
        "create",
        "--name",
        "one",
        "--image",
        &image,
        "--wait=120",
        "--",
        "sh",
        "-c",
        COUNTS,
    ]);
    stage.wait_for_run(1);

    // The program alone: its machines end with it, and it is started again, and they are.
    let (program, machine) = (stage.programs()[0], stage.machines()[0]);
    signal(program, Signal::KILL);
    stage.until("the machine ends", |stage| !stage.machines().contains(&machine));
    stage.wait_for_run(2);
    assert_eq!((stage.programs().len(), stage.machines().len()), (1, 1));

    // The gateway alone.
    stage.gateway.take().expect("a gateway").kill();
    stage.until("nothing runs", |stage| processes(&[&stage.id]).is_empty());
    stage.start_gateway();
    stage.wait_for_run(3);

    // Both, the program first, which gives its machines no time to end in order.
    signal(stage.programs()[0], Signal::KILL);
    stage.gateway.take().expect("a gateway").kill();
    stage.until("nothing runs", |stage| processes(&[&stage.id]).is_empty());
    stage.start_gateway();
    stage.wait_for_run(4);

    // In order: nothing is left, but what is to be started again.
    assert!(stage.gateway.take().expect("a gateway").terminate().success());
    assert_eq!(processes(&[&stage.id]), [0; 0], "left behind");
    stage.start_gateway();
    let ended = stage.wait_for_phase("one", "error").to_string();
    assert!(ended.contains("exit code 5"), "{ended}");
    stage.ok(&["sandbox", "delete", "one", "--wait=120"]);
    assert!(stage.gateway.take().expect("a gateway").terminate().success());
    stage.wait_for_nothing();
}
