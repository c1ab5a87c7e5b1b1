//! An engine that is not there: recorded replies on a socket, for what no engine of the tests' hosts can do.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// A socket that answers as an engine does.
pub(crate) struct Fake {
    pub(crate) socket: PathBuf,
    made: Arc<Mutex<Vec<Value>>>,
    _directory: tempfile::TempDir,
}

impl Fake {
    /// An engine of an API version that describes itself as `info`.
    pub(crate) fn new(api: &'static str, info: Value) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("docker.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a listener");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let made = Arc::<Mutex<Vec<Value>>>::default();
        let shared = Arc::clone(&made);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = UnixListener::from_std(listener).expect("a listener");
                while let Ok((client, _)) = listener.accept().await {
                    let (info, made) = (info.clone(), Arc::clone(&shared));
                    tokio::spawn(async move {
                        let _ = answer(client, api, &info, &made).await;
                    });
                }
            });
        });
        Self { socket, made, _directory: directory }
    }

    /// The bodies with which containers were made.
    pub(crate) fn made(&self) -> Vec<Value> {
        self.made.lock().expect("bodies").clone()
    }
}

/// One request a connection.
async fn answer(
    mut client: UnixStream,
    api: &str,
    info: &Value,
    made: &Mutex<Vec<Value>>,
) -> std::io::Result<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) => while read.len() < end + length && client.read_buf(&mut read).await? > 0 {},
        // In chunks, of which the last is empty.
        None if head.to_ascii_lowercase().contains("transfer-encoding: chunked") => {
            while !read.ends_with(b"\r\n0\r\n\r\n") && client.read_buf(&mut read).await? > 0 {}
        }
        None => {}
    }
    let mut words = head.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET", "/info") => ("200 OK", info.clone()),
        ("GET", "/version") => {
            ("200 OK", json!({"ApiVersion": api, "MinAPIVersion": "1.24", "Version": "0"}))
        }
        ("GET", "/volumes") => ("200 OK", json!({"Volumes": []})),
        ("GET", "/containers/json" | "/networks") => ("200 OK", json!([])),
        ("GET", path) if path.contains("/images/") => (
            "200 OK",
            json!({"Id": "sha256:1", "Os": "linux", "Architecture": "amd64", "Config": {"Cmd": ["sh"]}}),
        ),
        ("POST", "/networks/create") => ("201 Created", json!({"Id": "n1", "Warning": ""})),
        ("POST", "/containers/create") => {
            let body = serde_json::from_slice(&read[end..]).expect("a body");
            made.lock().expect("bodies").push(body);
            ("201 Created", json!({"Id": "c1", "Warnings": []}))
        }
        ("PUT" | "GET", _) => ("200 OK", json!({})),
        _ => ("204 No Content", Value::Null),
    };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!(
        "HTTP/1.1 {status}\r\nApi-Version: {api}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    );
    client.write_all(format!("{head}{length}\r\n{body}").as_bytes()).await?;
    client.shutdown().await
}
