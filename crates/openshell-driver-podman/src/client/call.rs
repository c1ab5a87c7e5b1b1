//! One call: a method, a path that nothing can break out of, a query, a body, and how long it may take.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use serde::Serialize;

use crate::error::Failure;

/// How long a call may take that changes nothing.
const LOOK: Duration = Duration::from_secs(60);
/// How long a call may take that changes something: a service works through the changes of its containers one by one.
const CHANGE: Duration = Duration::from_secs(180);

/// A call to be made. Its `Debug` leaves out what it carries: a body may be a token, or hold somebody's environment.
pub(crate) struct Call {
    /// A verb and its object, for errors: `create container`.
    pub(super) operation: &'static str,
    /// How long it may take; of a stream, how long it may take to be asked for.
    pub(super) patience: Duration,
    method: Method,
    target: String,
    has_query: bool,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &self.headers)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish_non_exhaustive()
    }
}

impl Call {
    fn new(operation: &'static str, method: Method, patience: Duration, path: &[&str]) -> Self {
        let mut target = String::new();
        for part in path {
            target.push('/');
            encode(part, &mut target);
        }
        let (headers, body) = (Vec::new(), Bytes::new());
        Self { operation, patience, method, target, has_query: false, headers, body }
    }

    /// Asks for something. Each part of the path is one, whatever is in it.
    pub(crate) fn get(operation: &'static str, path: &[&str]) -> Self {
        Self::new(operation, Method::GET, LOOK, path)
    }

    /// Makes or does something.
    pub(crate) fn post(operation: &'static str, path: &[&str]) -> Self {
        Self::new(operation, Method::POST, CHANGE, path)
    }

    /// Removes something.
    pub(crate) fn delete(operation: &'static str, path: &[&str]) -> Self {
        Self::new(operation, Method::DELETE, CHANGE, path)
    }

    /// With a parameter.
    pub(crate) fn query(mut self, key: &str, value: &str) -> Self {
        self.target.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        encode(key, &mut self.target);
        self.target.push('=');
        encode(value, &mut self.target);
        self
    }

    /// With a parameter that is JSON.
    ///
    /// # Errors
    /// When it cannot be written as such.
    pub(crate) fn query_json(self, key: &str, value: &impl Serialize) -> Result<Self, Failure> {
        let text = serde_json::to_string(value);
        let text = text.map_err(|error| Failure::unsendable(self.operation, &error))?;
        Ok(self.query(key, &text))
    }

    /// With a body that is JSON.
    ///
    /// # Errors
    /// When it cannot be written as such.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(value);
        let body = body.map_err(|error| Failure::unsendable(self.operation, &error))?;
        Ok(self.body("application/json", body))
    }

    /// With a body.
    pub(crate) fn body(mut self, kind: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers.push((CONTENT_TYPE, HeaderValue::from_static(kind)));
        self.body = body.into();
        self
    }

    /// With a header that no log shows.
    pub(crate) fn secret_header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.push((name, value));
        self
    }

    /// For at most so long.
    pub(crate) fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The request behind `base`.
    pub(super) fn request(self, base: &str) -> Result<Request<Full<Bytes>>, Failure> {
        let target = format!("{base}{}", self.target);
        let mut request = Request::builder()
            .method(self.method)
            .uri(target)
            // Nobody looks at it; it has to be there.
            .header(HOST, "localhost")
            .header(USER_AGENT, "openshell");
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body)).map_err(|error| Failure::unsendable(self.operation, &error))
    }
}

/// Writes a text so that it is one part of a path, or one value of a query.
///
/// Source: RFC 3986, section 2.3, "Unreserved Characters"; a path of dots alone would still be a step.
fn encode(text: &str, target: &mut String) {
    let dots = !text.is_empty() && text.bytes().all(|byte| byte == b'.');
    for byte in text.bytes() {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') || (byte == b'.' && !dots);
        if plain {
            target.push(char::from(byte));
        } else {
            target.push('%');
            for digit in [byte >> 4, byte & 15] {
                target.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_place() {
        let call = Call::get("look", &["containers", "a/../b?c#d%2f é", "json"])
            .query("all", "true")
            .query("filters", r#"{"label":["a=b&c"]}"#);
        let request = call.request("/v4.0.0/libpod").expect("a request");
        let expected = "/v4.0.0/libpod/containers/a%2F..%2Fb%3Fc%23d%252f%20%C3%A9/json\
                        ?all=true&filters=%7B%22label%22%3A%5B%22a%3Db%26c%22%5D%7D";
        assert_eq!(request.uri().to_string(), expected);
        let request = Call::get("look", &["..", "x"]).request("/v").expect("a request");
        assert_eq!(request.uri().path(), "/v/%2E%2E/x");
    }

    #[test]
    fn secrets_are_in_no_debug_text() {
        let value = HeaderValue::from_static("s3cret");
        let call = Call::post("pull", &["images"])
            .secret_header(HeaderName::from_static("x-registry-auth"), value)
            .body("text/plain", "t0ken");
        let shown = format!("{call:?}");
        // Bytes would show themselves as text.
        assert!(
            !shown.contains("s3cret") && !shown.contains("t0ken") && shown.contains("5 bytes"),
            "{shown}"
        );
        let request = call.request("/v").expect("a request");
        assert_eq!(request.headers()["x-registry-auth"], "s3cret");
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
