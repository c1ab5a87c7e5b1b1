//! The body of an answer, which knows when the answer is out.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};

use super::Record;
use super::record::code_in;

/// What the front answers with. A type of its own, for to put a body in a box would cost every request an allocation.
#[derive(Debug)]
pub struct FrontBody {
    content: Content,
    record: Option<Record>,
}

#[derive(Debug)]
enum Content {
    /// An answer of a service.
    Service(tonic::body::Body),
    /// A page of the front's own.
    Page(Bytes),
}

impl FrontBody {
    /// The body of a service's answer. The request ends with its trailers, or now if the headers have its code already.
    pub(crate) fn of_service(body: tonic::body::Body, headers: &HeaderMap, record: Record) -> Self {
        // Of a body that is over before it began nobody asks for trailers.
        let over = body.is_end_stream().then_some(Code::Unknown);
        match code_in(headers).or(over) {
            Some(code) => {
                record.end(code);
                Self { content: Content::Service(body), record: None }
            }
            None => Self { content: Content::Service(body), record: Some(record) },
        }
    }

    /// A text.
    pub(crate) fn page(text: impl Into<Bytes>) -> Self {
        Self { content: Content::Page(text.into()), record: None }
    }

    fn end(&mut self, code: Code) {
        if let Some(record) = self.record.take() {
            record.end(code);
        }
    }
}

impl Default for FrontBody {
    fn default() -> Self {
        Self::page(Bytes::new())
    }
}

impl Body for FrontBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let body = match &mut this.content {
            Content::Page(page) if page.is_empty() => return Poll::Ready(None),
            Content::Page(page) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(page))))),
            Content::Service(body) => Pin::new(body),
        };
        let polled = match &this.record {
            Some(record) => {
                let _entered = record.span().enter();
                body.poll_frame(cx)
            }
            None => body.poll_frame(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    this.end(code);
                }
            }
            Poll::Ready(Some(Err(status))) => this.end(status.code()),
            // No trailers, no code: what clients make of it, too.
            Poll::Ready(None) => this.end(Code::Unknown),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Page(page) => page.is_empty(),
            Content::Service(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Page(page) => SizeHint::with_exact(page.len() as u64),
            Content::Service(body) => body.size_hint(),
        }
    }
}
