//! Real guests: the testbed's kernel under TCG, the real first program, a disk made of the testbed's image.
//!
//! Here rather than in `tests/`, since the initramfs and the command line are nobody's business outside this crate. QEMU is
//! started by hand: how the driver does it is tested where that is.

use std::fs;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use openshell_vm_init::protocol::{
    FromGuest, MAX_FROM_GUEST, Network, Spec, ToGuest, Token, VERSION, read, write,
};

use super::{Board, Programs, command_line, initramfs, modules};
use crate::testbed::Parts;

/// Far more than a boot takes; what runs out is told with the console's text.
const PATIENCE: Duration = Duration::from_secs(60);

/// The testbed's image as a disk of 64 MiB, made by hand and once: it goes with the process's temporary files.
pub(crate) fn disk(parts: &Parts) -> PathBuf {
    static MADE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let make = || {
        let root = tempfile::tempdir().expect("a directory");
        let (tree, disk) = (root.path().join("tree"), root.path().join("disk.ext4"));
        fs::create_dir(&tree).expect("a directory");
        run(Command::new("tar").arg("-xf").arg(&parts.image).arg("-C").arg(&tree));
        run(Command::new("chmod").arg("755").arg(&tree));
        run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&disk).arg("64M"));
        fs::remove_dir_all(&tree).expect("removed");
        (root, disk)
    };
    MADE.get_or_init(make).1.clone()
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A QEMU that ends with its test.
struct Guest {
    qemu: Child,
    port: UnixStream,
    root: tempfile::TempDir,
    begun: Instant,
    /// Two guests at a time would take each other's time away.
    _turn: MutexGuard<'static, ()>,
}

impl Guest {
    /// Boots, and reads the guest's hello.
    fn boot(board: Board, network: Network) -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let parts = Parts::find()?;
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let root = tempfile::tempdir().expect("a directory");
        let file = |name: &str| root.path().join(name);
        let programs = Programs { init: parts.init.clone(), supervisor: None };
        let archive =
            initramfs::build(&programs, Some(&parts.modules), &modules(board, network == Network::User));
        fs::write(file("initramfs"), archive.expect("an initramfs")).expect("a file");
        let listener = UnixListener::bind(file("port")).expect("a socket");
        let begun = Instant::now();
        let mut qemu = qemu(&parts, board, network, root.path()).spawn().expect("qemu-system-x86_64");
        listener.set_nonblocking(true).expect("a socket");
        let port = loop {
            match listener.accept() {
                Ok((port, _)) => break port,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    assert!(qemu.try_wait().expect("a process").is_none(), "QEMU has ended");
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("{error}"),
            }
        };
        port.set_nonblocking(false).and_then(|()| port.set_read_timeout(Some(PATIENCE))).expect("a socket");
        let mut guest = Self { qemu, port, root, begun, _turn: turn };
        assert_eq!(guest.next(), Some(FromGuest::Hello { version: VERSION }));
        println!("{board:?}: hello after {} ms", guest.begun.elapsed().as_millis());
        Some(guest)
    }

    /// Boots and runs a shell's script as a user.
    fn script(user: &str, script: &str) -> Option<Self> {
        let mut guest = Self::boot(Board::Q35, Network::None)?;
        guest.send(&ToGuest::Spec(Box::new(shell(user, script))));
        Some(guest)
    }

    fn send(&mut self, message: &ToGuest) {
        write(&mut self.port, message).expect("sent");
    }

    /// The guest's next message; nothing when QEMU has closed the port.
    fn next(&mut self) -> Option<FromGuest> {
        match read(&mut self.port, MAX_FROM_GUEST) {
            Ok(message) => message,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}; the console says:\n{}", self.console()),
        }
    }

    #[track_caller]
    fn expect(&mut self, expected: &FromGuest) {
        let message = self.next();
        assert_eq!(message.as_ref(), Some(expected), "the console says:\n{}", self.console());
    }

    /// Waits until QEMU has ended by itself, and gives what the console said.
    fn end(mut self) -> String {
        assert_eq!(self.next(), None, "the console says:\n{}", self.console());
        let status = self.qemu.wait().expect("a process");
        assert!(status.success(), "{status}");
        println!("ended after {} ms", self.begun.elapsed().as_millis());
        self.console()
    }

    /// Waits until the console has said a line.
    fn until(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.console().lines().any(|said| said.trim_end() == line) {
            assert!(Instant::now() < deadline, "never said `{line}`:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn console(&self) -> String {
        fs::read(self.root.path().join("console"))
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// The command line, and what a microvm needs without KVM: it has no clock to measure the processor's by, so that the kernel has
/// to be told. TCG gives it the host's.
fn append(board: Board) -> String {
    let line = command_line(board);
    if board == Board::Q35 {
        return line;
    }
    let info = fs::read_to_string("/proc/cpuinfo").expect("the host's processors");
    let speed =
        info.lines().find(|line| line.starts_with("cpu MHz")).and_then(|line| line.rsplit(' ').next());
    format!("{line} tsc_early_khz={}", speed.expect("a speed").replace('.', ""))
}

fn qemu(parts: &Parts, board: Board, network: Network, root: &Path) -> Command {
    let (machine, bus) = match board {
        Board::Microvm => ("microvm,accel=tcg,rtc=on", "device"),
        Board::Q35 => ("q35,accel=tcg", "pci"),
    };
    let shown = root.display();
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-machine", machine, "-cpu", "max", "-m", "192", "-nodefaults", "-no-user-config"])
        .args(["-display", "none", "-no-reboot", "-kernel"])
        .arg(&parts.kernel)
        .args(["-initrd", &format!("{shown}/initramfs"), "-append", &append(board)])
        .args(["-chardev", &format!("file,id=console,path={shown}/console"), "-serial", "chardev:console"])
        .args(["-chardev", &format!("socket,id=agent,path={shown}/port")])
        .args(["-device", &format!("virtio-serial-{bus}")])
        .args(["-device", "virtserialport,chardev=agent,name=org.openshell.agent"])
        .args(["-drive", &format!("id=root,if=none,format=raw,snapshot=on,file={}", disk(parts).display())])
        .args(["-device", &format!("virtio-blk-{bus},drive=root")])
        .args(["-device", &format!("virtio-rng-{bus}")]);
    if network == Network::User {
        command.args(["-netdev", "user,id=net", "-device", &format!("virtio-net-{bus},netdev=net")]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// What runs a script.
fn shell(user: &str, script: &str) -> Spec {
    Spec {
        hostname: "box".to_owned(),
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("GREETING".to_owned(), "a  b".to_owned())],
        user: user.to_owned(),
        working_dir: "/sandbox".to_owned(),
        pids_limit: 64,
        now_ms: 1_800_000_000_000,
        ..Spec::default()
    }
}

fn exited(code: i32, signal: Option<i32>) -> FromGuest {
    FromGuest::Exited { code, signal, out_of_memory: false }
}

#[track_caller]
fn says(console: &str, expected: &[&str]) {
    for line in expected {
        assert!(console.lines().any(|said| said.trim_end() == *line), "no line `{line}` in:\n{console}");
    }
}

#[test]
fn a_workload_has_what_it_was_given_and_nothing_more() {
    for board in [Board::Microvm, Board::Q35] {
        let Some(mut guest) = Guest::boot(board, Network::None) else { return };
        guest.send(&ToGuest::Ping(41));
        guest.expect(&FromGuest::Pong(41));
        let script = "id; pwd; hostname; echo $GREETING \"$GREETING\" $HOME; date +%Y; \
            grep -E 'Cap(Prm|Bnd|Amb)|NoNewPrivs|Groups' /proc/self/status; \
            stat -c '%a %U' /run/openshell/token; cat /run/openshell/token; echo; \
            echo c 2>&1 >/proc/sysrq-trigger; echo 1 2>&1 >/proc/sys/kernel/sysrq; unshare -U true 2>&1; \
            ls /dev | tr '\\n' ' '; echo; ls -d /modules 2>&1; ip addr show lo | grep -o 'inet 127.0.0.1/8'; \
            echo to-stdout >/dev/stdout; exit 7";
        let mut spec = shell("sandbox", script);
        spec.token = Some(Token { path: "/run/openshell/token".to_owned(), content: "s3cret".to_owned() });
        guest.send(&ToGuest::Spec(Box::new(spec)));
        guest.expect(&FromGuest::Started);
        println!("{board:?}: started after {} ms", guest.begun.elapsed().as_millis());
        guest.expect(&exited(7, None));
        let console = guest.end();
        says(
            &console,
            &[
                "uid=1000(sandbox) gid=1000(sandbox)",
                "/sandbox",
                "box",
                "a b a  b /sandbox",
                "2027",
                "CapPrm:\t0000000000000000",
                "CapBnd:\t0000000000000000",
                "CapAmb:\t0000000000000000",
                "NoNewPrivs:\t1",
                "600 sandbox",
                "s3cret",
                "unshare: unshare(0x10000000): No space left on device",
                "sh: can't create /proc/sysrq-trigger: Permission denied",
                "sh: can't create /proc/sys/kernel/sysrq: Read-only file system",
                "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero",
                "ls: /modules: No such file or directory",
                "inet 127.0.0.1/8",
                "to-stdout",
            ],
        );
    }
}

#[test]
fn a_stop_asks_first_and_then_ends_it() {
    let asked = "cat; trap 'echo asked; sync; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    let Some(mut guest) = Guest::script("sandbox", asked) else { return };
    guest.expect(&FromGuest::Started);
    guest.until("ready");
    guest.send(&ToGuest::Stop { grace_ms: 20_000 });
    guest.expect(&exited(3, None));
    says(&guest.end(), &["asked"]);

    // With its standard input held open it waits for what nobody will type; a user may open that anew.
    let deaf = "exec 3</dev/stdin; timeout 1 cat <&3; echo waited $?; trap '' TERM; (trap '' TERM; sleep 1000) & \
        echo ready; while :; do sleep 1; done";
    let Some(mut guest) = Guest::boot(Board::Q35, Network::None) else { return };
    guest.send(&ToGuest::Spec(Box::new(Spec { stdin: true, ..shell("sandbox", deaf) })));
    guest.expect(&FromGuest::Started);
    guest.until("ready");
    guest.send(&ToGuest::Stop { grace_ms: 300 });
    guest.send(&ToGuest::Ping(1));
    guest.expect(&FromGuest::Pong(1));
    guest.expect(&exited(137, Some(9)));
    says(&guest.end(), &["waited 143"]);
}

#[test]
fn what_cannot_be_started_is_said() {
    let command = |argv: &[&str], user: &str| Spec {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        user: user.to_owned(),
        ..Spec::default()
    };
    for (spec, step, message) in [
        (command(&["true"], "nobody"), "find the user", "the image has no user `nobody` in its /etc/passwd"),
        (command(&["/none"], "sandbox"), "start the command", "`/none`: the image has no such program"),
    ] {
        let Some(mut guest) = Guest::boot(Board::Q35, Network::None) else { return };
        guest.send(&ToGuest::Spec(Box::new(spec)));
        guest.expect(&FromGuest::Failed { step: step.to_owned(), message: message.to_owned() });
        says(&guest.end(), &[&format!("openshell-vm-init: cannot {step}: {message}")]);
    }
}

#[test]
fn root_has_no_capability_but_may_bring_its_own_kernel_down() {
    let script = "grep CapEff /proc/self/status; mount -t tmpfs x /mnt 2>&1; echo core 2>&1 >/proc/sys/kernel/core_pattern; \
        mknod /tmp/vda b 254 0 2>&1; echo c >/proc/sysrq-trigger";
    let Some(mut guest) = Guest::script("", script) else { return };
    guest.expect(&FromGuest::Started);
    let console = guest.end();
    says(
        &console,
        &[
            "CapEff:\t0000000000000000",
            "sh: can't create /proc/sys/kernel/core_pattern: Read-only file system",
            "mknod: /tmp/vda: Operation not permitted",
        ],
    );
    assert!(console.contains("Kernel panic - not syncing: sysrq triggered crash"), "{console}");
}

#[test]
fn limits_hold_and_a_kill_for_memory_is_told() {
    let script = "i=0; while [ $i -lt 80 ]; do sleep 100 & i=$((i+1)); done 2>&1; echo; echo not reached";
    let Some(mut guest) = Guest::script("sandbox", script) else { return };
    guest.expect(&FromGuest::Started);
    guest.expect(&exited(2, None));
    assert!(guest.end().contains("can't fork: Resource temporarily unavailable"));

    let Some(mut guest) = Guest::script("sandbox", "exec tail /dev/zero") else { return };
    guest.expect(&FromGuest::Started);
    guest.expect(&FromGuest::Exited { code: 137, signal: Some(9), out_of_memory: true });
    guest.end();
}

#[test]
fn a_terminal_is_one_and_a_network_is_there_when_given() {
    let Some(mut guest) = Guest::boot(Board::Q35, Network::User) else { return };
    let script = "tty; test -t 0 && test -t 1 && test -t 2 && echo terminal; (: >/dev/tty) && echo own; \
        ip -4 -o addr show eth0 | grep -o 'inet [0-9./]*'; ip route | grep -o 'default via [0-9.]*'; cat /etc/resolv.conf";
    let spec = Spec { tty: true, network: Network::User, ..shell("sandbox", script) };
    guest.send(&ToGuest::Spec(Box::new(spec)));
    guest.expect(&FromGuest::Started);
    guest.expect(&exited(0, None));
    says(
        &guest.end(),
        &[
            "/dev/pts/0",
            "terminal",
            "own",
            "inet 10.0.2.15/24",
            "default via 10.0.2.2",
            "nameserver 10.0.2.3",
        ],
    );
}

#[test]
fn a_guest_goes_with_its_driver() {
    let Some(mut guest) = Guest::script("sandbox", "exec sleep 1000") else { return };
    guest.expect(&FromGuest::Started);
    guest.port.shutdown(std::net::Shutdown::Both).expect("shut down");
    let deadline = Instant::now() + PATIENCE;
    while guest.qemu.try_wait().expect("a process").is_none() {
        assert!(Instant::now() < deadline, "it runs on; the console says:\n{}", guest.console());
        std::thread::sleep(Duration::from_millis(10));
    }
}
