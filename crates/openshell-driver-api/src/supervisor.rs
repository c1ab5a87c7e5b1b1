//! What a driver puts into a sandbox that has a supervisor, and where: the paths are the same on every backend, so that
//! the supervisor needs no configuration.
//!
//! ```text
//!   /run/openshell/supervisor              the program, read-only, the sandbox's first process
//!   /run/openshell/gateway/gateway.sock    where it calls the gateway; the directory is the sandbox's own on the host
//!   /run/openshell/ca.crt                  whom it believes to be the gateway, where it calls over the network
//! ```
//!
//! A driver may put both further down, and say so by the command line and [`ENDPOINT`](crate::environment::ENDPOINT).

use std::path::PathBuf;

/// The supervisor's package and file name.
pub const PROGRAM_NAME: &str = "openshell-sandbox";
/// Where the program is inside of a sandbox.
pub const PROGRAM: &str = "/run/openshell/supervisor";
/// The directory with the gateway's socket inside of a sandbox.
pub const GATEWAY_DIR: &str = "/run/openshell/gateway";
/// The socket's name in that directory, on the host too.
pub const SOCKET: &str = "gateway.sock";
/// The value of [`ENDPOINT`](crate::environment::ENDPOINT) for that socket.
pub const ENDPOINT: &str = "unix:///run/openshell/gateway/gateway.sock";

/// Where the certificate of the gateway's CA is inside of a sandbox whose supervisor calls over the network.
pub const CA: &str = "/run/openshell/ca.crt";

/// What a gateway hands to a driver that delivers its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SupervisorDelivery {
    /// The program of the gateway's host, and Unix sockets on it: for a driver whose sandboxes are on that host.
    Host {
        /// The program on the gateway's host: an absolute path of a static executable.
        program: PathBuf,
        /// The directory on the gateway's host that has one of each sandbox's own, called like its id, with the socket in
        /// it. The latter is there before the driver is asked to make or start the sandbox, and stays the same directory
        /// as long as the sandbox is there, while the socket in it is another one with every start of the gateway.
        sockets: PathBuf,
    },
    /// A program that the driver has from elsewhere, and the gateway's address: for a driver whose sandboxes are on other
    /// hosts.
    Network {
        /// What the supervisor dials: `https://HOST:PORT`.
        endpoint: String,
        /// The certificate of the CA that the gateway's own has to be signed by, as PEM; nothing in it is secret. It is the
        /// same as long as the gateway keeps its state directory.
        ca: String,
    },
}

/// What a driver needs in order to put a supervisor into its sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivers {
    /// It puts none into them.
    Nothing,
    /// [`SupervisorDelivery::Host`].
    Program,
    /// [`SupervisorDelivery::Network`].
    Network,
}

/// The command line of a sandbox's first process.
///
/// `program` is where it is inside of the sandbox, `user` is whom the supervisor starts what it starts as, as the image or the request writes it (`USER[:GROUP]`, names
/// or numbers), `workdir` the directory it starts it in, `kept` what root keeps of the supervisor's capabilities, as bits; `image` is the image's own entrypoint and command, which run
/// where the request has no command.
#[must_use]
pub fn command_line(program: &str, user: &str, workdir: &str, kept: u64, image: &[String]) -> Vec<String> {
    let mut words: Vec<String> = [program, "run"].map(str::to_owned).into();
    let kept = if kept == 0 { String::new() } else { format!("{kept:x}") };
    for (flag, value) in [("--user", user), ("--workdir", workdir), ("--capabilities", &kept)] {
        if !value.is_empty() {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    words.push("--".to_owned());
    words.extend_from_slice(image);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_belong_together() {
        assert_eq!(ENDPOINT, format!("unix://{GATEWAY_DIR}/{SOCKET}"));
    }

    #[test]
    fn what_the_image_says_comes_after_the_dashes_whatever_it_looks_like() {
        let image = ["--user".to_owned(), "x".to_owned()];
        assert_eq!(
            command_line(PROGRAM, "1000:www", "/srv", 0x20, &image),
            [
                PROGRAM,
                "run",
                "--user",
                "1000:www",
                "--workdir",
                "/srv",
                "--capabilities",
                "20",
                "--",
                "--user",
                "x"
            ]
        );
        assert_eq!(command_line(PROGRAM, "", "", 0, &[]), [PROGRAM, "run", "--"]);
    }
}
