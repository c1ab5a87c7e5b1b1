//! The addresses of a host's name, by the sandbox's own `/etc/hosts` and `/etc/resolv.conf`.
//!
//! The system's own resolver is none for a program that is linked static and runs in anybody's image: it loads whatever
//! `/etc/nsswitch.conf` names out of that image, into a process that is root. This one asks for A and AAAA over UDP (RFC 1035,
//! RFC 3596) and believes what it is told: whether it was the gateway that was found, TLS decides.

mod message;

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::net::UdpSocket;

use message::{Answer, Kind, query, read};

/// Names of the sandbox's own.
pub(super) const HOSTS: &str = "/etc/hosts";
/// Who knows all others.
const RESOLVER: &str = "/etc/resolv.conf";
/// How much of such a file is read.
const MOST: u64 = 1 << 20;
/// How long a name server may take, and how often each is asked.
const PATIENCE: Duration = Duration::from_millis(1500);
const TRIES: usize = 2;
/// As many servers and domains as the system's own resolver takes (resolv.conf(5)).
const SERVERS: usize = 3;
const DOMAINS: usize = 6;
/// The most that a server says over UDP without being asked for more, and room for one that does.
const DATAGRAM: usize = 4096;

/// The addresses of `host`, at least one.
pub(super) async fn resolve(host: &str) -> io::Result<Vec<IpAddr>> {
    // A file that is missing says nothing.
    let listed = in_hosts(&text_of(HOSTS).unwrap_or_default(), host);
    if !listed.is_empty() {
        return Ok(listed);
    }
    let config = Config::read(&text_of(RESOLVER).unwrap_or_default());
    let mut failed =
        io::Error::new(io::ErrorKind::NotFound, format!("no name server knows the host `{host}`"));
    for name in config.candidates(host) {
        match config.ask(&name).await {
            Ok(addresses) if addresses.is_empty() => {}
            Ok(addresses) => return Ok(addresses),
            // A server that is away may know the next name as little; what is said is the last that went wrong.
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The text of a file of the sandbox's. Who is root in there may have made a pipe of it, or something without end: neither is waited
/// for, since everything else here would wait, too.
pub(super) fn text_of(path: &str) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What hosts(5) has of a name.
pub(super) fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    lines
        .filter_map(|mut words| {
            let address = words.next()?.parse().ok()?;
            words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
        })
        .collect()
}

/// What resolv.conf(5) says.
#[derive(Debug, PartialEq, Eq)]
struct Config {
    servers: Vec<SocketAddr>,
    domains: Vec<String>,
    /// A name with so many dots is tried as it is first.
    dots: usize,
}

impl Config {
    fn read(text: &str) -> Self {
        let mut config = Self { servers: Vec::new(), domains: Vec::new(), dots: 1 };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    config.servers.extend(address.map(|address| SocketAddr::new(address, 53)));
                }
                Some("search" | "domain") => {
                    config.domains = words.take(DOMAINS).map(str::to_owned).collect();
                }
                Some("options") => {
                    let dots = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()).next_back();
                    config.dots = dots.unwrap_or(config.dots).min(15);
                }
                _ => {}
            }
        }
        config.servers.truncate(SERVERS);
        if config.servers.is_empty() {
            config.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
        }
        config
    }

    /// The names to ask for, in order.
    fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let in_domains = self.domains.iter().map(|domain| format!("{host}.{}", domain.trim_end_matches('.')));
        let mut names: Vec<String> = in_domains.collect();
        let as_it_is = if host.matches('.').count() >= self.dots { 0 } else { names.len() };
        names.insert(as_it_is, host.to_owned());
        names
    }

    /// What a server says of a name; nothing, where it says that there is none.
    async fn ask(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut failed = io::Error::other("there is no name server");
        for server in self.servers.iter().cycle().take(self.servers.len() * TRIES) {
            match ask(*server, name).await {
                Ok(addresses) => return Ok(addresses),
                Err(error) => {
                    let message =
                        format!("the name server {} does not know about `{name}`: {error}", server.ip());
                    failed = io::Error::new(error.kind(), message);
                }
            }
        }
        Err(failed)
    }
}

/// Asks one server for both kinds of addresses at once.
async fn ask(server: SocketAddr, name: &str) -> io::Result<Vec<IpAddr>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // From here on the kernel takes datagrams of this server alone.
    socket.connect(server).await?;
    let mut ids = [0; 4];
    getrandom(&mut ids, GetRandomFlags::empty())?;
    let [a, b, c, d] = ids;
    let mut waiting = vec![(u16::from_be_bytes([a, b]), Kind::V4), (u16::from_be_bytes([c, d]), Kind::V6)];
    for (id, kind) in &waiting {
        socket.send(&query(*id, name, *kind)?).await?;
    }
    let mut found = Vec::new();
    let mut refused = None;
    let answered = tokio::time::timeout(PATIENCE, async {
        let mut datagram = [0; DATAGRAM];
        while !waiting.is_empty() {
            let length = socket.recv(&mut datagram).await?;
            let Some(Answer { id, kind, code, addresses }) = read(&datagram[..length]) else { continue };
            let Some(at) = waiting.iter().position(|asked| *asked == (id, kind)) else { continue };
            waiting.swap_remove(at);
            match code {
                // No such name (RFC 1035, section 4.1.1). What is said so of AAAA alone some servers say wrongly.
                3 if kind == Kind::V4 => break,
                0 | 3 => found.extend(addresses),
                // The other kind may be answered all the same.
                code => refused = Some(io::Error::other(format!("it answers with the code {code}"))),
            }
        }
        Ok::<_, io::Error>(())
    })
    .await;
    // A server that answers for one kind alone has been waited for.
    if !found.is_empty() {
        return Ok(found);
    }
    match (answered, refused) {
        (Ok(Err(error)), _) | (_, Some(error)) => Err(error),
        (Err(_), None) => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")),
        (Ok(Ok(())), None) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_is_read_as_everybody_does() {
        let text = "127.0.0.1 localhost\n# 10.0.0.9 gw\n10.0.0.1\tGW gw.example # ours\nfd00::1 gw\nx gw\n";
        let of = |host| in_hosts(text, host);
        assert_eq!(of("gw"), ["10.0.0.1".parse::<IpAddr>().expect("v4"), "fd00::1".parse().expect("v6")]);
        assert_eq!(of("ours"), Vec::<IpAddr>::new());
    }

    #[test]
    fn domains_and_dots_say_what_is_asked_for() {
        let config = Config::read(
            "nameserver 10.96.0.10\nnameserver fd00::a\nsearch ns.svc.cluster.local svc.cluster.local.\n\
             options timeout:1 ndots:5\n",
        );
        assert_eq!(
            config.servers,
            ["10.96.0.10:53".parse().expect("v4"), "[fd00::a]:53".parse().expect("v6")]
        );
        assert_eq!(
            config.candidates("gw.ns.svc"),
            ["gw.ns.svc.ns.svc.cluster.local", "gw.ns.svc.svc.cluster.local", "gw.ns.svc"]
        );
        assert_eq!(config.candidates("gw."), ["gw"]);
        let plain = Config::read("");
        assert_eq!(plain.servers, ["127.0.0.1:53".parse().expect("an address")]);
        assert_eq!(plain.candidates("a.b"), ["a.b"]);
    }

    /// A server that answers A questions with `10.0.0.7` and all else with no error and nothing, after a datagram that is
    /// somebody else's answer.
    async fn server() -> SocketAddr {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = socket.local_addr().expect("an address");
        tokio::spawn(async move {
            let mut datagram = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut datagram).await {
                let mut answer = message::tests::answer(&datagram[..length], [10, 0, 0, 7]);
                let id = answer[0];
                answer[0] = !id;
                socket.send_to(&answer, peer).await.expect("sent");
                answer[0] = id;
                socket.send_to(&answer, peer).await.expect("sent");
            }
        });
        address
    }

    #[tokio::test]
    async fn a_server_is_asked_and_only_its_answer_to_that_counts() {
        let found = ask(server().await, "gw.example").await.expect("an answer");
        assert_eq!(found, ["10.0.0.7".parse::<IpAddr>().expect("an address")]);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_said() {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = socket.local_addr().expect("an address");
        drop(socket);
        let config = Config { servers: vec![address], domains: Vec::new(), dots: 1 };
        let error = config.ask("gw").await.expect_err("nobody is there");
        assert!(error.to_string().starts_with("the name server 127.0.0.1 does not know"), "{error}");
    }
}
