//! What a gateway says of a driver that it lacks: the whole error, out of the manifest's data, the exit code, and that
//! nothing was bound or made before.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use driver_manifest::{Assembly, Driver, EXTERNAL, Selection};
use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::workspace::{GATEWAY_BIN, spawn};

/// How long a gateway with a wrong configuration may take to say so.
const REFUSAL: Duration = Duration::from_secs(20);
/// The exit code of a wrong configuration.
const USAGE: i32 = 2;
/// The file that asks for the driver, and in it the line and the column of the value.
const CONFIG: &str = "gateway.toml";
const PLACE: (usize, usize) = (2, 19);

/// What is wrong with a gateway's refusals of the drivers that it lacks.
pub(super) fn faults(assembly: &Assembly, selection: &Selection, gateway: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for driver in assembly.drivers.iter().filter(|driver| !selection.drivers.contains(&driver.name)) {
        let what = format!("{} without {}", selection.slug(), driver.name);
        let faults = refusal(assembly, selection, driver, gateway)?;
        found.extend(faults.into_iter().map(|fault| format!("{what}: {fault}")));
    }
    Ok(found)
}

/// Asks a gateway for a driver that it lacks, in a directory of its own.
fn refusal(
    assembly: &Assembly,
    selection: &Selection,
    driver: &Driver,
    gateway: &Path,
) -> Result<Vec<String>> {
    let room = Room::new(driver)?;
    let mut found = match bounded(&mut room.command(gateway)?)? {
        None => vec![format!("still runs after {} s", REFUSAL.as_secs())],
        Some(ended) => ended.faults(&expected(assembly, selection, driver, &room.config())),
    };
    found.extend(room.traces()?);
    Ok(found)
}

/// A directory that holds a `gateway.toml` and everything that a gateway could make, and a port that is taken: whoever
/// binds it says so instead of what has to be said.
struct Room {
    dir: TempDir,
    taken: TcpListener,
}

impl Room {
    fn new(driver: &Driver) -> Result<Self> {
        let dir = tempfile::tempdir().map_err(Error::file("create a directory in", &std::env::temp_dir()))?;
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let taken = taken.map_err(Error::file("listen on", Path::new("127.0.0.1")))?;
        let room = Self { dir, taken };
        let text = format!("[openshell.gateway]\ncompute_drivers = [\"{}\"]\n", driver.name);
        std::fs::write(room.config(), text).map_err(Error::file("write", &room.config()))?;
        // From here on its time tells of what was made in it, even of what was removed again.
        let dir = File::open(room.path()).and_then(|dir| dir.set_modified(UNIX_EPOCH));
        dir.map_err(Error::file("set the time of", room.path()))?;
        Ok(room)
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join(CONFIG)
    }

    /// The gateway with its state and its socket in here, as root's default socket is elsewhere, and the taken port.
    fn command(&self, gateway: &Path) -> Result<Command> {
        let taken = self.taken.local_addr().map_err(Error::file("listen on", Path::new("127.0.0.1")))?;
        let mut command = Command::new(gateway);
        command.arg("--config").arg(self.config()).current_dir(self.path()).env_clear();
        command.arg("--listen-socket").arg(self.path().join("run/gateway.sock"));
        command.arg("--port").arg(taken.port().to_string());
        command.env("XDG_STATE_HOME", self.path().join("state"));
        for name in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
            command.env(name, self.path());
        }
        Ok(command)
    }

    /// What was made in here.
    fn traces(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.path()).map_err(Error::file("read", self.path()))? {
            let name = entry.map_err(Error::file("read", self.path()))?.file_name();
            if name != CONFIG {
                found.push(format!("left `{}` behind", name.display()));
            }
        }
        let modified = self.path().metadata().and_then(|metadata| metadata.modified());
        if found.is_empty() && modified.map_err(Error::file("read", self.path()))? != UNIX_EPOCH {
            found.push("made something and removed it".to_owned());
        }
        Ok(found)
    }
}

/// What standard error has to hold, but for the line of the file that is shown.
fn expected(assembly: &Assembly, selection: &Selection, driver: &Driver, config: &Path) -> String {
    let name = &driver.name;
    let has = |name: &str| selection.drivers.iter().any(|has| has == name);
    let names = |wanted: &dyn Fn(&str) -> bool, separator: &str| {
        let names = assembly.drivers.iter().map(|driver| driver.name.as_str());
        names.filter(|name| wanted(name)).collect::<Vec<_>>().join(separator)
    };
    let mut lines = vec![
        format!("error: the compute driver `{name}` is not in this build of the gateway"),
        format!("  asked for by: `compute_drivers` in {CONFIG}"),
        format!("  this build has: {}", names(&has, ", ")),
        format!("  cargo feature: {}", driver.feature()),
        format!(" --> {}:{}:{}", config.display(), PLACE.0, PLACE.1),
        format!(
            "hint: build a gateway with it: cargo xtask build --drivers {}",
            names(&|other| other == name || has(other), ",")
        ),
        "hint: or take the full build, which has every driver: cargo xtask build --all".to_owned(),
    ];
    let socket = "--compute-driver-socket /path/to/driver.sock";
    match driver.program() {
        // Only a build that dials a socket can use what runs beside it.
        _ if !has(EXTERNAL) => {}
        Some(program) => lines.extend([
            format!("hint: or run it as a program beside this gateway: {program} --bind-socket /path/to/driver.sock"),
            format!("hint: and: {GATEWAY_BIN} --drivers {name} {socket}"),
        ]),
        None => lines.push(format!("hint: or, once it runs: {GATEWAY_BIN} {socket}")),
    }
    lines.join("\n")
}

/// How a program ended.
#[derive(Debug)]
struct Ended {
    /// The exit code; `None` when a signal ended it.
    code: Option<i32>,
    /// What it said on standard error.
    said: String,
}

impl Ended {
    fn faults(&self, expected: &str) -> Vec<String> {
        let mut found = Vec::new();
        match self.code {
            Some(USAGE) => {}
            Some(code) => found.push(format!("ends with exit code {code}, not {USAGE}")),
            None => found.push("is ended by a signal".to_owned()),
        }
        let said: Vec<&str> = self.said.lines().filter(|line| !is_excerpt(line)).collect();
        if said.join("\n") != expected {
            found.push(format!(
                "its error is another than this:\n{expected}\nit is:\n{}",
                self.said.trim_end()
            ));
        }
        found
    }
}

/// Whether a line shows a line of the file: `2 | text`, or the frame and the underline of one.
fn is_excerpt(line: &str) -> bool {
    line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|')
}

/// Runs a program to its end; `None` when it had to be killed.
fn bounded(command: &mut Command) -> Result<Option<Ended>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(spawn(GATEWAY_BIN))?;
    let started = Instant::now();
    while child.try_wait().map_err(spawn(GATEWAY_BIN))?.is_none() {
        if started.elapsed() > REFUSAL {
            child.kill().map_err(spawn(GATEWAY_BIN))?;
            child.wait().map_err(spawn(GATEWAY_BIN))?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().map_err(spawn(GATEWAY_BIN))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Some(Ended { code: output.status.code(), said }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::{parse_manifest, subsets};

    fn assembly() -> Assembly {
        parse_manifest(
            br#"
            [[driver]]
            name = "alpha"
            summary = "x"
            kind = "in-tree"
            package = "a"
            [[driver]]
            name = "external"
            summary = "x"
            kind = "socket"
            [[driver]]
            name = "omega"
            summary = "x"
            kind = "in-tree"
            package = "o"
            "#,
        )
        .expect("a manifest without a fault")
    }

    /// What the gateway of `has`, some of three drivers, has to say when it is asked for `wanted`.
    fn said(has: &str, wanted: &str) -> String {
        let assembly = assembly();
        let selections = subsets(&assembly).expect("selections");
        let selection =
            selections.iter().find(|selection| selection.slug() == has).expect("such a selection");
        let driver = assembly.driver(wanted).expect("such a driver");
        expected(&assembly, selection, driver, Path::new("/x/gateway.toml"))
    }

    #[test]
    fn the_error_follows_the_manifest() {
        assert_eq!(
            said("external-omega", "alpha"),
            "\
error: the compute driver `alpha` is not in this build of the gateway
  asked for by: `compute_drivers` in gateway.toml
  this build has: external, omega
  cargo feature: driver-alpha
 --> /x/gateway.toml:2:19
hint: build a gateway with it: cargo xtask build --drivers alpha,external,omega
hint: or take the full build, which has every driver: cargo xtask build --all
hint: or run it as a program beside this gateway: openshell-driver-alpha --bind-socket /path/to/driver.sock
hint: and: openshell-gateway --drivers alpha --compute-driver-socket /path/to/driver.sock"
        );
        let without_sockets = said("alpha-omega", "external");
        assert!(without_sockets.contains("--drivers alpha,external,omega\n"), "{without_sockets}");
        assert!(!without_sockets.contains("--compute-driver-socket"), "{without_sockets}");
    }

    #[test]
    fn the_shown_line_of_the_file_does_not_count_and_all_else_does() {
        let expected = said("omega", "alpha");
        let excerpt = "gateway.toml:2:19\n  |\n2 | compute_drivers = [\"alpha\"]\n  | ^^^^^^^";
        let whole = expected.replace("gateway.toml:2:19", excerpt) + "\n";
        let faults = |code, said: &str| Ended { code, said: said.to_owned() }.faults(&expected).len();
        assert_eq!(faults(Some(USAGE), &whole), 0);
        assert_eq!(faults(Some(1), &whole), 1);
        assert_eq!(faults(None, ""), 2);
        assert_eq!(faults(Some(USAGE), &whole.replace("driver-alpha", "driver-omega")), 1);
        assert_eq!(faults(Some(USAGE), &whole.replace("--drivers alpha,omega", "--drivers omega,alpha")), 1);
        assert_eq!(faults(Some(USAGE), &(whole.clone() + "hint: and more\n")), 1);
    }

    #[test]
    fn the_port_is_taken_for_as_long_as_somebody_is_asked() {
        let room = Room::new(&assembly().drivers[0]).expect("a directory");
        let command = room.command(Path::new("gateway")).expect("a command");
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let port = args.iter().skip_while(|arg| *arg != "--port").nth(1).expect("a port");
        let port: u16 = port.parse().expect("a number");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err());
    }

    #[test]
    fn whatever_was_made_is_seen_also_when_it_is_gone() {
        let assembly = assembly();
        let room = Room::new(&assembly.drivers[0]).expect("a directory");
        assert_eq!(room.traces().expect("a directory"), Vec::<String>::new());
        std::fs::create_dir(room.path().join("run")).expect("a directory");
        assert_eq!(room.traces().expect("a directory"), ["left `run` behind"]);
        std::fs::remove_dir(room.path().join("run")).expect("an empty directory");
        assert_eq!(room.traces().expect("a directory"), ["made something and removed it"]);
    }
}
