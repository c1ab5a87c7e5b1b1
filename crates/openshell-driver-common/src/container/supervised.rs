//! A container whose first process is the gateway's supervisor: what is mounted for that, what it starts with, and what it
//! may do that the sandbox may not. The same for every engine.
//!
//! The supervisor is root with the few capabilities that it takes to become somebody else; whatever it starts has those
//! that it would have without it, and no others.

use openshell_driver_api::supervisor::{self, SupervisorDelivery};
use openshell_driver_api::{DriverContext, DriverError, ErrorKind, SandboxId};

use super::files::{TOKEN_DIRECTORY, TOKEN_PATH, WORKSPACE};
use super::values::capability_number;

/// Who the supervisor is: root, whatever the image says.
pub const USER: &str = "0:0";
/// Where it is started: a directory that every image has, and that root may enter.
pub const DIRECTORY: &str = "/";
/// What the supervisor may do: become the sandbox's user (`SETUID`, `SETGID`), give up for good what that user shall not have
/// (`SETPCAP`), and end what it has started (`KILL`).
const CAPABILITIES: [&str; 4] = ["KILL", "SETGID", "SETUID", "SETPCAP"];

/// A directory to be further down by.
const FURTHER: &str = "/_";

/// The command of an image, and where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageCommand {
    /// Its entrypoint and its command.
    pub words: Vec<String>,
    /// Its directory; may be empty.
    pub directory: String,
}

/// How a sandbox's supervisor gets into its container, and how it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervised {
    program: String,
    socket_directory: String,
    /// What the operator gives back to sandboxes.
    kept: Vec<String>,
}

impl Supervised {
    /// What there is of it for a sandbox, `None` where sandboxes have no supervisor. `cap_add` is what the operator gives
    /// back to every sandbox.
    ///
    /// # Errors
    /// `FailedPrecondition` for a path that engines cannot be told.
    pub fn of(
        context: &DriverContext,
        id: &SandboxId,
        cap_add: &[String],
    ) -> Result<Option<Self>, DriverError> {
        let (program, sockets) = match &context.supervisor {
            None => return Ok(None),
            Some(SupervisorDelivery::Host { program, sockets }) => (program, sockets),
            Some(SupervisorDelivery::Network { .. }) => {
                let message = "there is no program of this host to bind";
                return Err(DriverError::new(ErrorKind::Internal, "deliver the supervisor", message));
            }
        };
        let text = |path: &std::path::Path| match path.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => {
                let message = format!("the path `{}` is not UTF-8", path.display());
                Err(DriverError::new(ErrorKind::FailedPrecondition, "deliver the supervisor", message))
            }
        };
        let (program, socket_directory) = (text(program)?, text(&sockets.join(id.as_str()))?);
        Ok(Some(Self { program, socket_directory, kept: cap_add.to_vec() }))
    }

    /// Its places in a container that has something else mounted at each of `others`: what the request asks for, and the
    /// volumes that the image names.
    ///
    /// A link in the image, or one that a workload has left for the next start, may lead such a mount over `/run/openshell`,
    /// with a program of its own to be started in the supervisor's stead. Engines mount what has fewer directories above it
    /// first, whatever the links say, and of two mounts at one place the later is found: so these lie deeper than all others.
    #[must_use]
    pub fn beside<'a>(&self, others: impl IntoIterator<Item = &'a str>) -> Placed<'_> {
        Placed { supervised: self, further: further(others, supervisor::PROGRAM) }
    }

    /// What the container's first process may do.
    #[must_use]
    pub fn capabilities(&self) -> Vec<String> {
        capabilities(&self.kept)
    }
}

/// A supervisor, and where it is in one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<'a> {
    supervised: &'a Supervised,
    /// What is between `/run/openshell` and the rest of its paths: nothing, or as many directories as it takes.
    further: String,
}

impl Placed<'_> {
    fn at(&self, usual: &str) -> String {
        let name = usual.strip_prefix(TOKEN_DIRECTORY).unwrap_or(usual);
        format!("{TOKEN_DIRECTORY}{}{name}", self.further)
    }

    /// What is mounted, each from the host to its place, and all of it read-only: the program, and the directory of the
    /// sandbox's own socket.
    #[must_use]
    pub fn binds(&self) -> [(&str, String); 2] {
        let Supervised { program, socket_directory, .. } = self.supervised;
        [(program, self.at(supervisor::PROGRAM)), (socket_directory, self.at(supervisor::GATEWAY_DIR))]
    }

    /// What [`ENDPOINT`](openshell_driver_api::environment::ENDPOINT) has to be, where that is not what it is anyway.
    #[must_use]
    pub fn endpoint(&self) -> Option<String> {
        let socket = || format!("unix://{}/{}", self.at(supervisor::GATEWAY_DIR), supervisor::SOCKET);
        (!self.further.is_empty()).then(socket)
    }

    /// Where the token is, for an engine that mounts it.
    #[must_use]
    pub fn token(&self) -> String {
        self.at(TOKEN_PATH)
    }

    /// The container's whole command line. `own_command` says whether the request has a command, which the supervisor then
    /// reads from its environment; else it is the image's, in the image's directory.
    #[must_use]
    pub fn command_line(&self, user: &str, own_command: bool, image: &ImageCommand) -> Vec<String> {
        let directory = match (own_command || image.words.is_empty(), image.directory.as_str()) {
            (true, _) => WORKSPACE,
            (false, "") => DIRECTORY,
            (false, directory) => directory,
        };
        let words = if own_command { &[][..] } else { &image.words };
        let kept = bits(&self.supervised.kept);
        supervisor::command_line(&self.at(supervisor::PROGRAM), user, directory, kept, words)
    }
}

/// What a supervisor may do where `kept` is what the operator gives back to sandboxes, without `CAP_`.
#[must_use]
pub fn capabilities(kept: &[String]) -> Vec<String> {
    let further = kept.iter().filter(|kept| !CAPABILITIES.contains(&kept.as_str())).cloned();
    CAPABILITIES.map(str::to_owned).into_iter().chain(further).collect()
}

/// Capabilities as bits, which is how a supervisor is told what its sandbox keeps.
#[must_use]
pub fn bits(capabilities: &[String]) -> u64 {
    let numbers = capabilities.iter().filter_map(|name| capability_number(name));
    numbers.fold(0, |bits, number| bits | 1_u64 << number)
}

/// What has to be put into the path of a mount, before its last part or at its end, for it to be deeper than all `others`:
/// see [`Supervised::beside`].
#[must_use]
pub fn further<'a>(others: impl IntoIterator<Item = &'a str>, path: &str) -> String {
    let deepest = others.into_iter().map(depth).max().unwrap_or_default();
    FURTHER.repeat((deepest + 1).saturating_sub(depth(path)))
}

/// How many parts a path has: what engines sort mounts by. One with `..` in it is taken for deeper than it is.
fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).count()
}

/// The refusal of an engine at a port, which may be on another host: what is bound there is not the gateway's.
#[must_use]
pub fn elsewhere(driver: &str) -> DriverError {
    let message = "the supervisor is a file of this host, and the engine, which is not behind a Unix socket, may be on another \
                   one, where it cannot be bound into sandboxes";
    DriverError::new(ErrorKind::FailedPrecondition, "deliver the supervisor", message).with_hint(format!(
        "do without exec, files and logs: supervisor = \"none\" in [openshell.drivers.{driver}]"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervised(cap_add: &[&str]) -> Supervised {
        let context = DriverContext {
            name: "moon".into(),
            gateway_id: "gw".into(),
            state_dir: "/state/drivers/moon".into(),
            telemetry: true,
            endpoint: supervisor::ENDPOINT.into(),
            supervisor: Some(SupervisorDelivery::Host {
                program: "/p".into(),
                sockets: "/state/sandboxes".into(),
            }),
        };
        let cap_add: Vec<String> = cap_add.iter().map(|name| (*name).to_owned()).collect();
        let id = SandboxId::new("id-1").expect("an id");
        let none = Supervised::of(&DriverContext { supervisor: None, ..context.clone() }, &id, &[]);
        assert_eq!(none.expect("nothing to go wrong"), None);
        Supervised::of(&context, &id, &cap_add).expect("paths").expect("a supervisor")
    }

    #[test]
    fn the_program_and_the_sandbox_s_own_directory_are_mounted_deeper_than_all_else() {
        let supervised = supervised(&[]);
        for (others, further) in [
            (&[][..], ""),
            (&["/sandbox", "/var/lib"], ""),
            (&["/sandbox", "/a/b/c"], "/_"),
            (&["//a/./b/c/d/", "/sandbox"], "/_/_"),
            // An engine that goes up again finds it higher, which is as good.
            (&["/a/b/c/../.."], "/_/_/_"),
        ] {
            let placed = supervised.beside(others.iter().copied());
            let (program, gateway) =
                (format!("/run/openshell{further}/supervisor"), format!("/run/openshell{further}/gateway"));
            assert!(others.iter().all(|other| depth(other) < depth(&program)), "{others:?}: {program}");
            let endpoint = (!further.is_empty()).then(|| format!("unix://{gateway}/gateway.sock"));
            assert_eq!(placed.endpoint(), endpoint, "{others:?}");
            assert_eq!(placed.command_line("", true, &ImageCommand::default())[0], program, "{others:?}");
            assert_eq!(placed.binds(), [("/p", program), ("/state/sandboxes/id-1", gateway)], "{others:?}");
        }
    }

    #[test]
    fn the_sandbox_keeps_what_the_operator_gives_back_and_nothing_of_the_supervisor_s() {
        let line = |cap_add: &[&str]| {
            supervised(cap_add).beside([]).command_line("u", true, &ImageCommand::default())[2..].join(" ")
        };
        assert_eq!(supervised(&[]).capabilities(), CAPABILITIES);
        assert_eq!(line(&[]), "--user u --workdir /sandbox --");
        assert_eq!(
            supervised(&["KILL", "NET_RAW"]).capabilities(),
            ["KILL", "SETGID", "SETUID", "SETPCAP", "NET_RAW"]
        );
        assert_eq!(line(&["KILL", "NET_RAW"]), "--user u --workdir /sandbox --capabilities 2020 --");
        assert_eq!(
            line(&["CHECKPOINT_RESTORE"]),
            "--user u --workdir /sandbox --capabilities 10000000000 --"
        );
    }

    #[test]
    fn an_image_s_own_command_runs_where_the_image_says() {
        let image = |words: &[&str], directory: &str| ImageCommand {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            directory: directory.to_owned(),
        };
        let line = |own, image| supervised(&[]).beside([]).command_line("", own, &image)[2..].join(" ");
        assert_eq!(line(false, image(&["/entry", "-x"], "/srv")), "--workdir /srv -- /entry -x");
        assert_eq!(line(false, image(&["/entry"], "")), "--workdir / -- /entry");
        // A shell for want of a command, and a command of the request's own, are at home in the workspace.
        assert_eq!(line(false, image(&[], "/srv")), "--workdir /sandbox --");
        assert_eq!(line(true, image(&["/entry"], "/srv")), "--workdir /sandbox --");
    }

    #[test]
    fn an_engine_elsewhere_is_refused_with_the_key_that_turns_it_off() {
        let error = elsewhere("moon");
        let hint = error.hint().unwrap_or_default();
        assert!(hint.ends_with("supervisor = \"none\" in [openshell.drivers.moon]"), "{hint}");
    }
}
