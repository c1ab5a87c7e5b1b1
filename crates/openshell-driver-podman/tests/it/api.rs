//! A bare client of the service, beside the driver's: what is really there.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// A service's socket.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) socket: PathBuf,
}

impl Api {
    /// One call on a connection of its own; `None` when nobody is there. The status, and the answer's bytes.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Bytes)> {
        let stream = UnixStream::connect(&self.socket).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/v4.0.0/libpod{path}"))
            .header("host", "d")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .expect("a request");
        let answer = sender.send_request(request).await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.into_body().collect().await.ok()?.to_bytes()))
    }

    /// What is there at a path, as JSON; `Null` when there is nothing.
    pub(crate) async fn get(&self, path: &str) -> Value {
        match self.call("GET", path, None).await {
            Some((200, body)) => serde_json::from_slice(&body).expect("JSON"),
            _ => Value::Null,
        }
    }

    /// Asks for something to be done, which has to work.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call("POST", path, Some(body)).await.expect("an answer");
        assert!(status < 300, "{path}: {status} {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap_or_default()
    }

    /// Removes something that may not be there.
    pub(crate) async fn delete(&self, path: &str) {
        let _ = self.call("DELETE", path, None).await;
    }
}

/// Filters for a path: everything with this label.
pub(crate) fn labelled(label: &str) -> String {
    let json = serde_json::json!({"label": [label]}).to_string();
    let escaped: String = json
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("filters={escaped}")
}
