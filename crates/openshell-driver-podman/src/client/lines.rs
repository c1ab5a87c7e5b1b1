//! An answer that comes line by line, each line JSON of its own, for as long as the service has something to say.

use bytes::{Buf, Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::{Connection, Head, MAX_REFUSAL, Pending, is_accepted};
use crate::error::Failure;

/// How long one line may be: an event carries the labels of what it is about.
const MAX_LINE: usize = 1024 * 1024;

/// The lines of an answer; dropping it ends the connection.
pub(crate) struct Lines {
    operation: &'static str,
    source: Source,
    /// What has come and was not given yet.
    buffer: BytesMut,
    /// How much of that is known to hold no end of a line.
    looked_at: usize,
    _connection: Connection,
}

/// What is awaited next. Each step leaves what it has in here, so that whoever gives up waiting can wait again.
enum Source {
    Head(Head),
    Body(Incoming),
    Refusal(StatusCode, Incoming),
    Ended,
}

impl Lines {
    pub(super) fn new(pending: Pending) -> Self {
        let Pending { operation, head, connection } = pending;
        let (source, buffer) = (Source::Head(head), BytesMut::new());
        Self { operation, source, buffer, looked_at: 0, _connection: connection }
    }

    /// The next line; `None` at the end. Dropped before it is there, nothing is lost.
    ///
    /// # Errors
    /// When the service refuses, its connection breaks, or a line makes no sense.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(line) = self.take()? {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return match serde_json::from_slice(&line) {
                    Ok(value) => Ok(Some(value)),
                    Err(error) => {
                        let problem = format!("a line is not what was expected (column {})", error.column());
                        Err(Failure::nonsense(self.operation, problem))
                    }
                };
            }
            if matches!(self.source, Source::Ended) {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// A whole line that has come; at the end of the answer, what is left.
    fn take(&mut self) -> Result<Option<Bytes>, Failure> {
        if matches!(self.source, Source::Refusal(..)) {
            return Ok(None);
        }
        match self.buffer[self.looked_at..].iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let line = self.buffer.split_to(self.looked_at + at).freeze();
                self.buffer.advance(1);
                self.looked_at = 0;
                Ok(Some(line))
            }
            None if matches!(self.source, Source::Ended) && !self.buffer.is_empty() => {
                self.looked_at = 0;
                Ok(Some(self.buffer.split().freeze()))
            }
            None if self.buffer.len() > MAX_LINE => {
                Err(Failure::nonsense(self.operation, format!("a line is longer than {MAX_LINE} bytes")))
            }
            None => {
                self.looked_at = self.buffer.len();
                Ok(None)
            }
        }
    }

    /// Takes one step towards the next line.
    async fn fill(&mut self) -> Result<(), Failure> {
        let operation = self.operation;
        let body = match &mut self.source {
            Source::Ended => return Ok(()),
            Source::Head(head) => {
                let response = head.as_mut().await.map_err(|error| Failure::http(operation, error))?;
                let status = response.status();
                let body = response.into_body();
                self.source = match is_accepted(status) {
                    true => Source::Body(body),
                    false => Source::Refusal(status, body),
                };
                return Ok(());
            }
            Source::Body(body) | Source::Refusal(_, body) => body,
        };
        let frame = body.frame().await;
        if let (Source::Refusal(status, _), true) =
            (&self.source, matches!(frame, None | Some(Err(_))) || self.buffer.len() > MAX_REFUSAL)
        {
            return Err(Failure::refused(operation, status.as_u16(), &self.buffer));
        }
        match frame {
            None => self.source = Source::Ended,
            Some(Err(error)) => return Err(Failure::http(operation, error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.buffer.extend_from_slice(&data);
                }
            }
        }
        Ok(())
    }
}
