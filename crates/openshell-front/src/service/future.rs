//! The answer to a request, on its way.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use crate::observe::{FrontBody, Record};
use crate::request_id::{RequestId, X_REQUEST_ID};

type Later = Pin<Box<dyn Future<Output = Response<FrontBody>> + Send>>;

pin_project! {
    /// The answer of a [`Front`](super::Front). A request that gets through costs no box of the front's own.
    pub struct FrontFuture<F> {
        #[pin]
        stage: Stage<F>,
        id: RequestId,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F> {
        /// The gateway's service answers.
        Service { #[pin] future: F, record: Option<Record> },
        /// The front answers, and knows what.
        Answer { answer: Option<Response<FrontBody>> },
        /// The front answers when it is time.
        Later { answer: Later },
    }
}

impl<F> FrontFuture<F> {
    pub(super) fn service(future: F, record: Record, id: RequestId) -> Self {
        Self { stage: Stage::Service { future, record: Some(record) }, id }
    }

    pub(super) fn answer(answer: Response<FrontBody>, id: RequestId) -> Self {
        Self { stage: Stage::Answer { answer: Some(answer) }, id }
    }

    pub(super) fn later(answer: Later, id: RequestId) -> Self {
        Self { stage: Stage::Later { answer }, id }
    }
}

impl<F> fmt::Debug for FrontFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontFuture").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<F> Future for FrontFuture<F>
where
    F: Future<Output = Result<Response<tonic::body::Body>, Infallible>>,
{
    type Output = Result<Response<FrontBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = match this.stage.project() {
            StageProjection::Service { future, record } => {
                let entered = record.as_ref().map(|record| record.span().enter());
                let Ok(answer) = ready!(future.poll(cx));
                drop(entered);
                let (head, body) = answer.into_parts();
                let body = match record.take() {
                    Some(record) => FrontBody::of_service(body, &head.headers, record),
                    // Polled again after its end, which the contract of futures leaves open.
                    None => return Poll::Pending,
                };
                Response::from_parts(head, body)
            }
            StageProjection::Answer { answer } => match answer.take() {
                Some(answer) => answer,
                None => return Poll::Pending,
            },
            StageProjection::Later { answer } => ready!(answer.as_mut().poll(cx)),
        };
        answer.headers_mut().insert(X_REQUEST_ID, this.id.value());
        Poll::Ready(Ok(answer))
    }
}
