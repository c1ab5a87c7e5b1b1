//! The answer to methods that this gateway does not have: `UNIMPLEMENTED`, naming the method.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::Status;

/// The service that this gateway serves.
pub(super) const SERVICE: &str = "openshell.v1.OpenShell";

/// The answer of a method of [`SERVICE`].
pub(super) fn unserved(method: &str) -> Status {
    Status::unimplemented(format!("this gateway does not have the method `{SERVICE}/{method}`"))
}

/// The answer of whatever else is asked for; `path` is a request's, without its first slash.
pub(super) fn unserved_path(path: &str) -> Status {
    Status::unimplemented(format!("this gateway does not have the method `{}`", path.escape_debug()))
}

/// The stream of a method that has none to give.
pub(crate) struct NoStream<T>(PhantomData<fn() -> T>);

impl<T> tokio_stream::Stream for NoStream<T> {
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}
