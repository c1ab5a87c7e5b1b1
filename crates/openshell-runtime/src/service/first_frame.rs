//! A channel's stream before it is known whose it is: its first message names the channel, and is as short as that.
//!
//! Whoever is root in a sandbox can begin as many streams as a connection carries. A message that is not all there waits in
//! memory, whole; so those that lead nowhere yet are not to begin with one of a channel's size.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Frame;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes};

/// The most bytes of a first message.
const MOST: u32 = 4096;
/// What gRPC puts before a message: a flag and a length ("gRPC over HTTP2", Length-Prefixed-Message).
const PREFIX: usize = 5;

/// A request's body whose first message is short, or that ends with an error.
pub(super) struct FirstFrame {
    body: Body,
    /// Of the first message's prefix, as much as has come; `None` once it was looked at.
    prefix: Option<Vec<u8>>,
}

impl FirstFrame {
    pub(super) fn new(body: Body) -> Self {
        Self { body, prefix: Some(Vec::with_capacity(PREFIX)) }
    }

    /// Looks at the first bytes until the length is known.
    fn look(&mut self, data: &[u8]) -> Result<(), Status> {
        let Some(prefix) = &mut self.prefix else { return Ok(()) };
        prefix.extend(data.iter().take(PREFIX - prefix.len()));
        let Some(&[_, length @ ..]) = prefix.first_chunk::<PREFIX>() else { return Ok(()) };
        self.prefix = None;
        let length = u32::from_be_bytes(length);
        if length <= MOST {
            return Ok(());
        }
        Err(Status::invalid_argument(format!(
            "the first frame is no init: it has {length} bytes, and that has {MOST} at most"
        )))
    }
}

impl HttpBody for FirstFrame {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.look(data)?;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_is_short_and_those_after_it_are_as_they_are() {
        let whole = |parts: &[&[u8]]| {
            let mut body = FirstFrame::new(Body::empty());
            parts.iter().try_for_each(|part| body.look(part)).map_err(|status| status.message().to_owned())
        };
        assert_eq!(whole(&[&[0, 0, 0, 0x10, 0], &[7; 4096], &[0, 0, 0x10, 0, 0]]), Ok(()));
        assert_eq!(whole(&[&[0], &[0], &[0, 0], &[5, 1, 2, 3, 4, 5, 0, 0xff, 0xff, 0xff, 0xff]]), Ok(()));
        let refused = "the first frame is no init: it has 4097 bytes, and that has 4096 at most";
        assert_eq!(whole(&[&[0, 0], &[], &[0, 0x10, 1, 9]]), Err(refused.to_owned()));
    }
}
