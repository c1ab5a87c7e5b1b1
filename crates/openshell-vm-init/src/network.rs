//! Loopback, and QEMU's user-mode network where the driver gave the machine an interface: a few messages to the kernel
//! (rtnetlink), since an image need not have a program for it.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use openshell_vm_init::protocol::{Network, Spec};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

use crate::failure::{During, Failure};

const STEP: &str = "set up the network";
/// `linux/rtnetlink.h`, `linux/netlink.h`, `linux/if.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;

/// What QEMU's user-mode network gives its guest (`-netdev user`).
const ADDRESS: [u8; 4] = [10, 0, 2, 15];
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const NAME_SERVER: &str = "nameserver 10.0.2.3\n";

/// Brings up what the driver says is there.
pub(crate) fn set_up(spec: &Spec) -> Result<(), Failure> {
    // Always the first interface of a network namespace.
    request(RTM_NEWLINK, 0, &link_up(1)).during(STEP, "lo")?;
    if spec.network == Network::User {
        let index = interface()?;
        request(RTM_NEWLINK, 0, &link_up(index)).during(STEP, "eth0")?;
        request(RTM_NEWADDR, NLM_F_CREATE, &address(index)).during(STEP, "10.0.2.15/24")?;
        request(RTM_NEWROUTE, NLM_F_CREATE, &default_route()).during(STEP, "10.0.2.2")?;
        // A file of the image, a link to nowhere too, would leave the guest without names.
        let _ = fs::remove_file("/etc/resolv.conf");
        fs::write("/etc/resolv.conf", NAME_SERVER).during(STEP, "/etc/resolv.conf")?;
    }
    Ok(())
}

/// The index of the interface that is not loopback.
fn interface() -> Result<u32, Failure> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let found = fs::read_dir("/sys/class/net").during(STEP, "/sys/class/net")?.flatten();
        for entry in found.filter(|entry| entry.file_name() != "lo") {
            let index = fs::read_to_string(entry.path().join("ifindex")).unwrap_or_default();
            if let Ok(index) = index.trim_end().parse() {
                return Ok(index);
            }
        }
        if Instant::now() > deadline {
            return Err(Failure::new(STEP, "the machine has no network interface"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `struct ifinfomsg`.
fn link_up(index: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    for word in [index, IFF_UP, IFF_UP] {
        body.extend(word.to_ne_bytes());
    }
    body
}

/// `struct ifaddrmsg` and its attributes.
fn address(index: u32) -> Vec<u8> {
    let mut body = vec![AF_INET, 24, 0, 0];
    body.extend(index.to_ne_bytes());
    for kind in [IFA_LOCAL, IFA_ADDRESS] {
        attribute(&mut body, kind, ADDRESS);
    }
    body
}

/// `struct rtmsg` and its attribute.
fn default_route() -> Vec<u8> {
    let mut body = vec![AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0, 0, 0, 0];
    attribute(&mut body, RTA_GATEWAY, GATEWAY);
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, address: [u8; 4]) {
    body.extend(8_u16.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(address);
}

/// One request to the kernel, and its word for it.
fn request(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    // Of netlink's protocols the route is number 0, hence none to name.
    let kernel = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend_from_slice(body);
    send(&kernel, &message, SendFlags::empty())?;
    let mut reply = [0; 256];
    let (count, _) = recv(&kernel, &mut reply[..], RecvFlags::empty())?;
    answer(&reply[..count])
}

/// `struct nlmsgerr`: a negative error number, 0 for done.
fn answer(reply: &[u8]) -> io::Result<()> {
    let kind = reply.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
    let code = reply.get(16..20).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Err(io::Error::other("the kernel's answer makes no sense")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_word_is_heard() {
        let mut reply = vec![0; 36];
        reply[4] = 2;
        assert!(answer(&reply).is_ok());
        reply[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(answer(&reply).expect_err("refused").raw_os_error(), Some(1));
        assert!(answer(&reply[..10]).is_err());
    }
}
