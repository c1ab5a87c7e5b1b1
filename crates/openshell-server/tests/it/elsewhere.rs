//! What sandboxes with a supervisor need whose backend is not this host's: the program as an image where the backend finds it,
//! and an address of this host that they reach.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;

use crate::harness::{free_port_at, required, text};

/// The image and the address, for one gateway.
pub(crate) struct Elsewhere {
    image: String,
    /// Where the gateway listens for supervisors: the same after a restart, since sandboxes keep it.
    pub(crate) address: SocketAddr,
}

impl Elsewhere {
    /// Makes both for the gateway `id` on the cluster; `None`, and a word about it, where its nodes have images of their own.
    pub(crate) fn on_cluster(id: &str) -> Option<Self> {
        let folder = std::env::var_os("OPENSHELL_TEST_BIN_DIR").expect("looked at before");
        let image = format!("openshell-test/supervisor:{id}");
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../openshell-driver-kubernetes/tests/supervisor-image.sh");
        let arguments = [OsString::from(script), folder, OsString::from(&image)];
        let put = Command::new("sh").args(arguments).output().expect("a shell");
        match put.status.code() {
            Some(0) => {}
            Some(3) => {
                required("kubernetes", text(&put.stdout).trim());
                return None;
            }
            _ => panic!("{}", text(&put.stderr)),
        }
        let address = towards_the_nodes();
        Some(Self { image, address: SocketAddr::new(address, free_port_at(address)) })
    }

    /// What a configuration says of the gateway.
    pub(crate) fn gateway(&self) -> String {
        format!("[openshell.gateway]\nsandbox_bind_address = \"{}\"\n", self.address)
    }

    /// What it says of the driver.
    pub(crate) fn driver(&self) -> String {
        let image = &self.image;
        format!("supervisor_image = \"{image}\"\nsupervisor_image_pull_policy = \"Never\"\n")
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // By force: what ran out of it may be there still.
        let _ = Command::new("docker").args(["rmi", "--force", &self.image]).output();
    }
}

/// The address that this host has towards the cluster's first node: that node's own, where it is this host.
fn towards_the_nodes() -> IpAddr {
    let path = "{.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
    let arguments = ["get", "nodes", "-o", &format!("jsonpath={path}")];
    let told = Command::new("kubectl").args(arguments).output().expect("kubectl");
    let node: IpAddr = text(&told.stdout).trim().parse().expect("a node's address");
    let unbound: IpAddr = if node.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    // Nothing is sent: the kernel says by which address it would be.
    let socket = UdpSocket::bind((unbound, 0)).expect("a socket");
    let towards = socket.connect((node, 9)).and_then(|()| socket.local_addr());
    towards.expect("a route to the node").ip()
}
