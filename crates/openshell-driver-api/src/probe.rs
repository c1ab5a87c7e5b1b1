//! Asks a container engine over its Unix socket who it is, for drivers whose backend answers `GET /_ping`.
//!
//! Spoken by hand: a probe sends one fixed request and reads one bounded head, and no SDK has to be set up for that.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How much of a reply is read at most: a head of an engine has a few hundred bytes.
const MAX_HEAD: usize = 16 * 1024;

/// What came of a ping. `Display` gives the words of [`Tried::outcome`](crate::Tried::outcome).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ping {
    /// An HTTP server answered.
    Answered(PingReply),
    /// There is nothing at the path.
    Absent,
    /// There is something else at the path.
    NotASocket,
    /// It may not be opened.
    PermissionDenied,
    /// Nobody listens.
    Refused,
    /// There was no whole answer in time.
    TimedOut,
    /// What answered does not speak HTTP.
    NotHttp,
    /// Anything else, in the system's words.
    Failed(String),
}

impl fmt::Display for Ping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(reply) if reply.status == 200 => f.write_str("answered"),
            Self::Answered(reply) => write!(f, "answered with HTTP status {}", reply.status),
            Self::Absent => f.write_str("no such socket"),
            Self::NotASocket => f.write_str("not a socket"),
            Self::PermissionDenied => f.write_str("permission denied"),
            Self::Refused => f.write_str("refused"),
            Self::TimedOut => f.write_str("timed out"),
            Self::NotHttp => f.write_str("answered, but not in HTTP"),
            Self::Failed(problem) => f.write_str(problem),
        }
    }
}

/// The head of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingReply {
    /// The HTTP status.
    pub status: u16,
    headers: Vec<(String, String)>,
}

impl PingReply {
    /// A header by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Sends `GET /_ping` to the socket at `path` and reads the head of the reply, all of it within `timeout`.
///
/// Symbolic links are followed: engines install their sockets as such.
pub async fn engine_ping(path: &Path, timeout: Duration) -> Ping {
    match tokio::time::timeout(timeout, exchange(path)).await {
        Ok(Ok(ping)) => ping,
        Ok(Err(error)) => outcome(path, &error),
        Err(_) => Ping::TimedOut,
    }
}

async fn exchange(path: &Path) -> io::Result<Ping> {
    let mut stream = UnixStream::connect(path).await?;
    // HTTP/1.0, so that the server closes the connection behind its answer.
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\nUser-Agent: openshell\r\n\r\n").await?;
    let mut head = Vec::with_capacity(1024);
    let mut chunk = [0_u8; 1024];
    loop {
        let count = stream.read(&mut chunk).await?;
        head.extend_from_slice(&chunk[..count]);
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            head.truncate(end);
            break;
        }
        if count == 0 || head.len() > MAX_HEAD {
            break;
        }
    }
    Ok(read_head(&head).map_or(Ping::NotHttp, Ping::Answered))
}

fn read_head(head: &[u8]) -> Option<PingReply> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let mut status_line = lines.next()?.split(' ');
    if !status_line.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = status_line.next()?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect();
    Some(PingReply { status, headers })
}

/// Connecting to a plain file is "refused" too, so the path is looked at once more to tell the two apart.
fn outcome(path: &Path, error: &io::Error) -> Ping {
    match error.kind() {
        io::ErrorKind::NotFound => Ping::Absent,
        io::ErrorKind::PermissionDenied => Ping::PermissionDenied,
        io::ErrorKind::NotADirectory => Ping::Absent,
        io::ErrorKind::ConnectionRefused => match std::fs::metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => Ping::NotASocket,
            _ => Ping::Refused,
        },
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ping::NotHttp,
        _ => Ping::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::net::UnixListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    /// A directory of its own that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let name =
                format!("openshell-probe-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).expect("a scratch directory");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Serves one connection: reads the request, writes `reply`, and holds the connection open if `hold`.
    fn serve(path: &Path, reply: Vec<u8>, hold: bool) {
        let listener = UnixListener::bind(path).expect("a listener");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&reply).await;
            if hold {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        });
    }

    async fn answer(reply: &[u8], hold: bool) -> Ping {
        let scratch = Scratch::new();
        let path = scratch.0.join("s");
        serve(&path, reply.to_vec(), hold);
        engine_ping(&path, SHORT).await
    }

    #[tokio::test]
    async fn an_engine_s_headers() {
        let Ping::Answered(reply) =
            answer(b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nX:\r\n\r\nOK", true).await
        else {
            panic!("an answer");
        };
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("api-version"), Some("1.41"));
        assert_eq!(reply.header("Libpod-API-Version"), None);
    }

    #[tokio::test]
    async fn what_else_may_answer() {
        assert_eq!(answer(b"", true).await.to_string(), "timed out");
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\nA: b", true).await.to_string(), "timed out");
        assert_eq!(answer(b"SSH-2.0-x\r\n", false).await.to_string(), "answered, but not in HTTP");
        assert_eq!(answer(b"", false).await.to_string(), "answered, but not in HTTP");
        assert_eq!(answer(&vec![b'x'; MAX_HEAD * 2], true).await.to_string(), "answered, but not in HTTP");
        assert_eq!(
            answer(b"HTTP/1.1 503 No\r\n\r\n", false).await.to_string(),
            "answered with HTTP status 503"
        );
    }

    #[tokio::test]
    async fn what_else_may_be_there() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.0.join(name);
        std::fs::write(at("file"), "").expect("a file");
        std::os::unix::fs::symlink(at("gone"), at("dangling")).expect("a link");
        drop(UnixListener::bind(at("dead")).expect("a listener"));
        for (name, expected) in [
            ("absent", "no such socket"),
            ("file", "not a socket"),
            ("file/below", "no such socket"),
            (".", "not a socket"),
            ("dangling", "no such socket"),
            ("dead", "refused"),
        ] {
            assert_eq!(engine_ping(&at(name), SHORT).await.to_string(), expected, "{name}");
        }
        let long = at(&"x".repeat(300));
        assert!(matches!(engine_ping(&long, SHORT).await, Ping::Failed(_)));
    }

    #[tokio::test]
    async fn a_link_to_a_socket_is_followed() {
        let scratch = Scratch::new();
        let (socket, link) = (scratch.0.join("s"), scratch.0.join("l"));
        serve(&socket, b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), false);
        std::os::unix::fs::symlink(&socket, &link).expect("a link");
        assert!(matches!(engine_ping(&link, SHORT).await, Ping::Answered(_)));
    }
}
