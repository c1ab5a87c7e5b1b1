//! One request that was let in, until its answer is out: counted, and told in the access log.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use tonic::{Code, Status};
use tracing::Span;

use super::{Metrics, code_name};
use crate::access::MethodId;

/// A request under way. Whoever drops it unfinished has cancelled it.
#[derive(Debug)]
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    method: MethodId,
    began: Instant,
    span: Span,
    ended: bool,
}

impl Record {
    /// It begins.
    pub(crate) fn new(metrics: &Arc<Metrics>, method: MethodId, began: Instant, span: Span) -> Self {
        metrics.began();
        Self { metrics: Arc::clone(metrics), method, began, span, ended: false }
    }

    /// What is logged on its behalf belongs in here.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// It has ended, with this code.
    pub(crate) fn end(mut self, code: Code) {
        self.finish(code);
    }

    fn finish(&mut self, code: Code) {
        self.ended = true;
        let took = self.began.elapsed();
        self.metrics.ended(self.method, code, took);
        let took_ms = took.as_secs_f64() * 1e3;
        let code = code_name(code);
        // A macro's level is a constant.
        if self.method.method().changes {
            tracing::info!(target: "openshell::access", parent: &self.span, code, took_ms, "answered");
        } else {
            tracing::debug!(target: "openshell::access", parent: &self.span, code, took_ms, "answered");
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Code::Cancelled);
        }
    }
}

/// The code in headers or trailers, if it is there ("gRPC over HTTP2", Responses).
pub(super) fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}
