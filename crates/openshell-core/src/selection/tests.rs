//! The truth table of the selection, and the exact texts of its errors.

use std::path::Path;

use openshell_driver_api::{Detection, Tried};

use super::*;
use crate::detect::Outcome;
use crate::shell::Remedy as _;
use crate::testing::Build;

/// What one source says, written as `names @ socket`, either part left out.
fn wish(text: &str) -> Wish {
    let (names, socket) = text.split_once('@').unwrap_or((text, ""));
    let names = names.trim();
    Wish {
        drivers: if names.is_empty() { Vec::new() } else { names.split(',').map(str::to_owned).collect() },
        socket: Some(socket.trim()).filter(|path| !path.is_empty()).map(PathBuf::from),
    }
}

fn sources(flag: &str, variable: &str, file: &str) -> Sources {
    let sockets = [("lxd", "/run/lxd.sock"), ("podman", "/run/podman-driver.sock")];
    Sources {
        flag: wish(flag),
        variable: wish(variable),
        file: wish(file),
        sockets: sockets.map(|(name, path)| (name.to_owned(), PathBuf::from(path))).into(),
    }
}

fn found(because: &str) -> Outcome {
    Outcome::Looked(Detection { found: Some(because.to_owned()), tried: Vec::new() })
}

fn absent() -> Outcome {
    let tried =
        |candidate: &str, outcome: &str| Tried { candidate: candidate.into(), outcome: outcome.into() };
    Outcome::Looked(Detection {
        found: None,
        tried: vec![tried("DOCKER_HOST", "unset"), tried("/var/run/docker.sock", "no such socket")],
    })
}

/// The result in one line: what runs, because of whom, with how many notes; or the kind of the error.
fn line(result: Result<Selection, SelectionError>) -> String {
    match result {
        Ok(Selection { name, how, because, notes }) => {
            let how = match how {
                How::CompiledIn => String::new(),
                How::Socket { path } => format!(" at {}", path.display()),
            };
            let because = match because {
                Because::Configured { source } => format!("{source:?}"),
                Because::Detected { .. } => "Detected".to_owned(),
            };
            format!("{name}{how} by {because}, {} notes", notes.len())
        }
        Err(error) => {
            let debug = format!("{error:?}");
            let kind = debug.split([' ', '(']).next().unwrap_or_default().to_owned();
            match error {
                SelectionError::NotCompiledIn(missing) => format!("{kind} {}", missing.name),
                _ => kind,
            }
        }
    }
}

/// Every row of the design's table and every pair of sources. The build has docker, kyma (a named socket with a path in
/// the manifest) and external; podman is known, left out, and has a `driver_socket`; lxd is known by its
/// `driver_socket` alone; kubernetes is known and left out; vm does not run on this platform.
#[test]
fn truth_table() {
    let rows: &[(&str, &str, &str, &str)] = &[
        // flag, variable, file, result
        // A socket, no name.
        ("@/a", "", "", "external:/a at /a by Flag, 0 notes"),
        ("", "@/a", "", "external:/a at /a by Variable, 0 notes"),
        ("", "", "@/a", "external:/a at /a by File, 0 notes"),
        // A socket, names from lower sources, however many and whatever they are: skipped, and said so.
        ("@/a", "docker", "", "external:/a at /a by Flag, 1 notes"),
        ("@/a", "docker,podman", "nonsense", "external:/a at /a by Flag, 2 notes"),
        ("@/a", "", "docker", "external:/a at /a by Flag, 1 notes"),
        ("", "@/a", "docker", "external:/a at /a by Variable, 1 notes"),
        // A socket over a socket.
        ("@/a", "@/b", "", "external:/a at /a by Flag, 1 notes"),
        ("@/a", "docker@/b", "kyma@/c", "external:/a at /a by Flag, 4 notes"),
        ("", "@/a", "@/b", "external:/a at /a by Variable, 1 notes"),
        // A socket and one name of the same source: the name, behind the socket.
        ("kyma@/a", "", "", "kyma at /a by Flag, 0 notes"),
        ("", "kyma@/a", "", "kyma at /a by Variable, 0 notes"),
        ("", "", "kyma@/a", "kyma at /a by File, 0 notes"),
        ("kubernetes@/a", "", "", "kubernetes at /a by Flag, 0 notes"),
        ("vm@/a", "", "", "vm at /a by Flag, 0 notes"),
        ("ec2@/a", "", "", "ec2 at /a by Flag, 0 notes"),
        ("lxd@/a", "", "", "lxd at /a by Flag, 1 notes"),
        ("lxd@/run/lxd.sock", "", "", "lxd at /run/lxd.sock by Flag, 0 notes"),
        ("external@/a", "", "", "external:/a at /a by Flag, 0 notes"),
        // … also when it is compiled in, and said so.
        ("docker@/a", "", "", "docker at /a by Flag, 1 notes"),
        ("", "", "docker@/a", "docker at /a by File, 1 notes"),
        ("Not A Name@/a", "", "", "MalformedName"),
        // A socket and one name from a higher source: the name, the socket ignored, and said so.
        ("docker", "@/a", "", "docker by Flag, 1 notes"),
        ("docker", "", "@/a", "docker by Flag, 1 notes"),
        ("docker", "@/a", "@/b", "docker by Flag, 2 notes"),
        ("", "docker", "@/a", "docker by Variable, 1 notes"),
        ("docker", "external:/a", "", "docker by Flag, 1 notes"),
        ("external", "@/a", "", "SocketMissing"),
        ("nonsense", "@/a", "", "NoSuchDriver"),
        // A socket and several names.
        ("docker,kyma@/a", "", "", "Several"),
        ("docker,kyma", "@/a", "", "Several"),
        ("", "", "docker,kyma@/a", "Several"),
        // No socket, one name.
        ("docker", "", "", "docker by Flag, 0 notes"),
        ("", "docker", "", "docker by Variable, 0 notes"),
        ("", "", "docker", "docker by File, 0 notes"),
        ("docker", "kyma", "nonsense", "docker by Flag, 0 notes"),
        ("", "docker", "nonsense,more", "docker by Variable, 0 notes"),
        // A name with a socket of its own.
        ("kyma", "", "", "kyma at /run/kyma.sock by Flag, 0 notes"),
        ("lxd", "", "", "lxd at /run/lxd.sock by Flag, 0 notes"),
        ("podman", "", "", "podman at /run/podman-driver.sock by Flag, 0 notes"),
        // external:<path> as a name counts as the socket.
        ("external:/a", "", "", "external:/a at /a by Flag, 0 notes"),
        ("", "EXTERNAL:/a", "docker", "external:/a at /a by Variable, 1 notes"),
        ("", "", "external:/a", "external:/a at /a by File, 0 notes"),
        ("external:/a@/a", "", "", "external:/a at /a by Flag, 0 notes"),
        ("external:/a@/b", "", "", "TwoSockets"),
        ("external:/a", "@/b", "", "external:/a at /a by Flag, 1 notes"),
        ("@/b", "external:/a", "", "external:/b at /b by Flag, 1 notes"),
        ("external:/a,docker", "", "", "Several"),
        ("external:", "", "", "BadName"),
        ("external", "", "", "SocketMissing"),
        ("", "", "External", "SocketMissing"),
        // No socket, one name that cannot run.
        ("kubernetes", "", "", "NotCompiledIn kubernetes"),
        ("", "kubernetes", "docker", "NotCompiledIn kubernetes"),
        ("vm", "", "", "WrongPlatform"),
        ("dokcer", "", "", "NoSuchDriver"),
        ("Docker", "", "", "NoSuchDriver"),
        (" ", "", "@/a", "external:/a at /a by File, 0 notes"),
        // No socket, several names.
        ("docker,kyma", "", "", "Several"),
        ("docker,docker", "", "", "Several"),
        ("", "docker,", "", "Several"),
        // Nothing.
        ("", "", "", "docker by Detected, 0 notes"),
    ];
    let build = Build::with(&["docker", "kyma", "external"]);
    let probes = Probes::new(vec![
        ("kubernetes".into(), Outcome::NotCompiledIn),
        ("podman".into(), Outcome::NotCompiledIn),
        ("docker".into(), found("it answered")),
    ]);
    for (flag, variable, file, expected) in rows {
        let sources = sources(flag, variable, file);
        let result = line(select(&build.catalog(), &sources, &probes));
        assert_eq!(&result, expected, "flag {flag:?}, variable {variable:?}, file {file:?}");
        assert_eq!(
            sources.needs_detection(),
            result.contains("Detected"),
            "flag {flag:?}, variable {variable:?}, file {file:?}"
        );
    }
}

/// Without external in the build, whatever needs a socket is the missing-driver error, for external.
#[test]
fn truth_table_without_external() {
    let rows = [
        ("@/a", "NotCompiledIn external"),
        ("external:/a", "NotCompiledIn external"),
        ("docker@/a", "NotCompiledIn external"),
        ("lxd", "NotCompiledIn external"),
        ("external", "NotCompiledIn external"),
        ("kyma", "NotCompiledIn kyma"),
        ("docker", "docker by Flag, 0 notes"),
    ];
    let build = Build::with(&["docker"]);
    for (flag, expected) in rows {
        let result = line(select(&build.catalog(), &sources(flag, "", ""), &Probes::default()));
        assert_eq!(result, expected, "{flag}");
    }
}

#[test]
fn an_empty_socket_is_refused() {
    let build = Build::with(&["external"]);
    let mut sources = sources("", "", "");
    sources.flag.socket = Some(PathBuf::new());
    let error = select(&build.catalog(), &sources, &Probes::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the path of the compute driver's socket is empty (from `--compute-driver-socket`)"
    );
}

#[test]
fn notes_say_what_does_not_count_and_why() {
    let build = Build::with(&["docker", "external"]);
    let notes = |flag: &str, variable: &str, file: &str| {
        select(&build.catalog(), &sources(flag, variable, file), &Probes::default()).unwrap().notes
    };
    assert_eq!(
        notes("@/a", "docker", "@/b"),
        [
            "`OPENSHELL_DRIVERS` (`docker`) is skipped: `--compute-driver-socket` gives the socket of a driver",
            "`compute_driver_socket` in gateway.toml (`/b`) is ignored: `--compute-driver-socket` gives the socket of a driver",
        ]
    );
    assert_eq!(
        notes("docker", "@/a", ""),
        ["`OPENSHELL_COMPUTE_DRIVER_SOCKET` (`/a`) is ignored: `--drivers` names the driver"]
    );
    assert_eq!(
        notes("", "external:/a", "docker"),
        [
            "`compute_drivers` in gateway.toml (`docker`) is skipped: `OPENSHELL_DRIVERS` gives the socket of a driver"
        ]
    );
    assert_eq!(
        notes("lxd@/a", "", ""),
        ["`driver_socket` of `lxd` (`/run/lxd.sock`) is ignored: `--compute-driver-socket` gives another"]
    );
    assert_eq!(
        notes("docker@/a", "", ""),
        ["`docker` is in this build, and runs behind the socket `/a` all the same"]
    );
}

/// The error of a build, as the shell prints it.
fn shown(have: &[&'static str], flag: &str, variable: &str) -> String {
    let build = Build::with(have);
    let sources = Sources { flag: wish(flag), variable: wish(variable), ..Sources::default() };
    select(&build.catalog(), &sources, &Probes::default()).unwrap_err().render()
}

#[test]
fn no_such_driver() {
    assert_eq!(
        shown(&["docker"], "dokcer", ""),
        "\
error: no such compute driver: `dokcer` (from `--drivers`)
hint: did you mean `docker`? openshell-gateway --drivers docker
hint: the drivers are: kubernetes, podman, docker, vm, kyma, external
hint: see what this build has: openshell-gateway drivers
"
    );
    assert!(!shown(&[], "zzzzzz", "").contains("did you mean"));
    let external =
        "hint: did you mean `external`? openshell-gateway --compute-driver-socket /path/to/driver.sock";
    assert!(shown(&[], "externl", "").contains(external));
    let build = Build::with(&["external"]);
    let error = select(&build.catalog(), &sources("lxc", "", ""), &Probes::default()).unwrap_err();
    let text = error.render();
    assert!(text.contains("did you mean `lxd`?"), "{text}");
    assert!(text.contains("kyma, external, lxd\n"), "names of gateway.toml are names: {text}");
}

#[test]
fn known_and_not_compiled_in() {
    assert_eq!(
        shown(&["docker", "external"], "kubernetes", ""),
        "\
error: the compute driver `kubernetes` is not in this build of the gateway
  asked for by: `--drivers`
  this build has: docker, external
  cargo feature: driver-kubernetes
hint: build a gateway with it: cargo xtask build --drivers kubernetes,docker,external
hint: or take the full build, which has every driver: cargo xtask build --all
hint: or run it as a program beside this gateway: openshell-driver-kubernetes --bind-socket /path/to/driver.sock
hint: and: openshell-gateway --drivers kubernetes --compute-driver-socket /path/to/driver.sock
"
    );
    assert_eq!(
        shown(&["docker"], "", "podman"),
        "\
error: the compute driver `podman` is not in this build of the gateway
  asked for by: `OPENSHELL_DRIVERS`
  this build has: docker
  cargo feature: driver-podman
hint: build a gateway with it: cargo xtask build --drivers podman,docker
hint: or take the full build, which has every driver: cargo xtask build --all
"
    );
    assert_eq!(
        shown(&["docker"], "@/run/x.sock", ""),
        "\
error: the compute driver `external` is not in this build of the gateway
  asked for by: `--compute-driver-socket`, which needs it
  this build has: docker
  cargo feature: driver-external
hint: build a gateway with it: cargo xtask build --drivers docker,external
hint: or take the full build, which has every driver: cargo xtask build --all
"
    );
}

#[test]
fn wrong_platform() {
    assert_eq!(
        shown(&["docker"], "vm", ""),
        "error: the compute driver `vm` does not run on this platform; it runs on: linux, macos\n"
    );
    assert_eq!(
        shown(&["external"], "vm", ""),
        "\
error: the compute driver `vm` does not run on this platform; it runs on: linux, macos
hint: a driver behind a socket can be of any kind: openshell-gateway --drivers vm --compute-driver-socket PATH
"
    );
}

#[test]
fn external_with_no_socket() {
    assert_eq!(
        shown(&["external"], "external", ""),
        "\
error: the compute driver `external` runs behind a socket, and no socket is given
hint: the flag: openshell-gateway --compute-driver-socket /path/to/driver.sock
hint: the variable: OPENSHELL_COMPUTE_DRIVER_SOCKET=/path/to/driver.sock
hint: the key: compute_driver_socket = \"/path/to/driver.sock\" in [openshell.gateway]
"
    );
    let text = shown(&["external"], "external", "@/a");
    assert!(
        text.contains(
            "hint: the socket from `OPENSHELL_COMPUTE_DRIVER_SOCKET` does not count, because the driver is named by a source \
             above it; give both in one: openshell-gateway --drivers external --compute-driver-socket /a\n"
        ),
        "{text}"
    );
    assert_eq!(
        shown(&["external"], "external:", ""),
        "\
error: `external:` has no path behind the colon (from `--drivers`)
hint: openshell-gateway --compute-driver-socket /path/to/driver.sock
"
    );
}

#[test]
fn one_at_a_time() {
    assert_eq!(
        shown(&["docker"], "docker,podman", ""),
        "\
error: one compute driver at a time: `--drivers` names `docker`, `podman`
hint: openshell-gateway --drivers docker
"
    );
    assert_eq!(
        shown(&["external"], "external:/a@/b", ""),
        "\
error: two sockets for one compute driver: `/a` from `--drivers` and `/b` from `--compute-driver-socket`
hint: openshell-gateway --compute-driver-socket /b
"
    );
}

#[test]
fn nothing_detected() {
    let build = Build::with(&["podman", "docker", "external"]);
    let probes = Probes::new(vec![
        ("kubernetes".into(), Outcome::NotCompiledIn),
        ("podman".into(), Outcome::TimedOut),
        ("docker".into(), absent()),
    ]);
    let error = select(&build.catalog(), &Sources::default(), &probes).unwrap_err();
    assert_eq!(
        error.render(),
        "\
error: no compute driver is named, and none was detected
  kubernetes: not compiled in
  podman: the probe timed out after 250 ms
  docker: DOCKER_HOST: unset
  docker: /var/run/docker.sock: no such socket
hint: name one: openshell-gateway --drivers podman
hint: give the socket of one: openshell-gateway --compute-driver-socket /path/to/driver.sock
hint: see what this build has: openshell-gateway drivers
"
    );
    let build = Build::with(&["external"]);
    let text = select(&build.catalog(), &Sources::default(), &Probes::default()).unwrap_err().render();
    assert!(text.contains("no driver of this project can be detected"), "{text}");
    assert!(!text.contains("name one"), "{text}");
}

#[test]
fn the_first_probe_in_order_that_found_something_wins() {
    let build = Build::with(&["podman", "docker"]);
    let probes = Probes::new(vec![("podman".into(), absent()), ("docker".into(), found("it answered"))]);
    let selection = select(&build.catalog(), &Sources::default(), &probes).unwrap();
    assert_eq!(selection.name, DriverName::Named("docker".into()));
    assert_eq!(selection.how, How::CompiledIn);
    assert_eq!(selection.because.to_string(), "detected: it answered");
}

#[test]
fn a_selection_routes_by_the_configured_name() {
    let build = Build::with(&["external"]);
    let selection = select(&build.catalog(), &sources("lxd", "", ""), &Probes::default()).unwrap();
    assert_eq!(selection.name.key(), "lxd");
    assert_eq!(selection.how, How::Socket { path: Path::new("/run/lxd.sock").into() });
}

#[test]
fn a_table_with_a_socket_puts_its_driver_behind_it() {
    let build = Build::with(&["podman", "external"]);
    let probes = Probes::new(vec![("podman".into(), found("it answered"))]);
    for flag in ["podman", ""] {
        let selection = select(&build.catalog(), &sources(flag, "", ""), &probes).unwrap();
        assert_eq!(selection.how, How::Socket { path: "/run/podman-driver.sock".into() }, "{flag:?}");
        assert_eq!(
            selection.notes,
            ["`podman` is in this build, and runs behind the socket `/run/podman-driver.sock` all the same"]
        );
    }
}

#[test]
fn the_table_of_external_may_give_its_socket() {
    let build = Build::with(&["external"]);
    let sockets = [("external".to_owned(), PathBuf::from("/run/x.sock"))].into();
    let sources = Sources { flag: wish("external"), sockets, ..Sources::default() };
    let selection = select(&build.catalog(), &sources, &Probes::default()).unwrap();
    assert_eq!(selection.name, DriverName::ExternalAt("/run/x.sock".into()));
}
