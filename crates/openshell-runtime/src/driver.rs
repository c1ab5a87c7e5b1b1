//! The driver as the rest of the runtime calls it: every call has a deadline, and one that hangs or panics is an
//! error like any other.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use openshell_driver_api::{
    Capabilities, ComputeDriver, DriverError, ErrorKind, EventStream, ListenerRequirement, ObservedSandbox,
    SandboxId, SandboxRequest, SandboxStatus, WatchEvent,
};
use tracing::Instrument as _;

use crate::rpc::{Rpc, Support};
use crate::said;
use crate::settings::Deadlines;
use crate::stats::Counters;
use crate::task::AbortOnDrop;

/// The driver with its deadlines.
#[derive(Clone)]
pub(crate) struct Driver {
    inner: Arc<dyn ComputeDriver>,
    deadlines: Deadlines,
    counters: Arc<Counters>,
}

impl Driver {
    pub(crate) fn new(inner: Arc<dyn ComputeDriver>, deadlines: Deadlines) -> Self {
        Self { inner, deadlines, counters: Arc::default() }
    }

    /// What has been counted, by this driver and by the engine that has it.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    /// Who the driver is.
    ///
    /// # Errors
    /// `FailedPrecondition` for an empty answer: such a thing is no driver.
    pub(crate) async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        let driver = Arc::clone(&self.inner);
        let call = async move { driver.capabilities().await };
        let capabilities = self.bounded(Rpc::Capabilities, self.deadlines.capabilities, call).await?;
        if capabilities.driver_name.is_empty() {
            let message = "the driver's answer is empty: it gives no name";
            return Err(DriverError::new(ErrorKind::FailedPrecondition, "get capabilities", message));
        }
        Ok(said::capabilities(capabilities))
    }

    /// Where the driver's sandboxes would have the gateway listen; a driver that does not know the question needs nothing.
    pub(crate) async fn listeners(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        let driver = Arc::clone(&self.inner);
        let call = async move { driver.listener_requirements().await };
        self.optional(Rpc::Listeners, self.deadlines.listeners, call).await
    }

    pub(crate) async fn validate(&self, request: SandboxRequest) -> Result<(), DriverError> {
        let (driver, token) = (Arc::clone(&self.inner), request.spec.token.clone());
        let call = async move {
            driver.validate_create(&request).await.map_err(|error| said::without(&token, error))
        };
        self.bounded(Rpc::Validate, self.deadlines.validate, call).await
    }

    pub(crate) async fn create(&self, request: SandboxRequest) -> Result<(), DriverError> {
        let (driver, token) = (Arc::clone(&self.inner), request.spec.token.clone());
        let call = async move { driver.create(&request).await.map_err(|error| said::without(&token, error)) };
        self.bounded(Rpc::Create, self.deadlines.create, call).await
    }

    /// Prepares a workspace; a driver that has no such thing has nothing to prepare.
    pub(crate) async fn ensure_workspace(&self, workspace: String) -> Result<(), DriverError> {
        let driver = Arc::clone(&self.inner);
        let call = async move { driver.ensure_workspace(&workspace).await };
        self.optional(Rpc::EnsureWorkspace, self.deadlines.ensure_workspace, call).await
    }

    /// Removes what a workspace has in the backend; what is not there, or cannot be, is gone.
    pub(crate) async fn delete_workspace(&self, workspace: String) -> Result<(), DriverError> {
        let driver = Arc::clone(&self.inner);
        let call = async move { driver.delete_workspace(&workspace).await };
        match self.optional(Rpc::DeleteWorkspace, self.deadlines.delete_workspace, call).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            answer => answer,
        }
    }

    /// A call that older drivers lack: `UNIMPLEMENTED` amounts to nothing to do, and it is not asked for again.
    async fn optional<T: Default + Send + 'static>(
        &self,
        rpc: Rpc,
        deadline: Duration,
        call: impl Future<Output = Result<T, DriverError>> + Send + 'static,
    ) -> Result<T, DriverError> {
        if self.counters.support(rpc) == Support::Unimplemented {
            return Ok(T::default());
        }
        match self.bounded(rpc, deadline, call).await {
            Err(error) if error.kind() == ErrorKind::Unimplemented => Ok(T::default()),
            answer => answer,
        }
    }

    pub(crate) async fn start(&self, id: SandboxId) -> Result<(), DriverError> {
        let driver = Arc::clone(&self.inner);
        self.bounded(Rpc::Start, self.deadlines.start, async move { driver.start(&id).await }).await
    }

    pub(crate) async fn stop(&self, id: SandboxId) -> Result<(), DriverError> {
        let driver = Arc::clone(&self.inner);
        self.bounded(Rpc::Stop, self.deadlines.stop, async move { driver.stop(&id).await }).await
    }

    /// Removes a sandbox and looks whether it is gone: a driver may take a delete and need time for it.
    pub(crate) async fn delete(&self, id: SandboxId, name: &str) -> Result<Removal, DriverError> {
        let driver = Arc::clone(&self.inner);
        let key = id.clone();
        let call = async move { driver.delete(&key).await };
        match self.bounded(Rpc::Delete, self.deadlines.delete, call).await {
            Ok(true) => {}
            Ok(false) => return Ok(Removal::Gone),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Removal::Gone),
            Err(error) => return Err(error),
        }
        Ok(if matches!(self.find(id, name).await, Ok(None)) { Removal::Gone } else { Removal::Taken })
    }

    /// How the sandbox of that id and name is; `None` where the backend has none of that id.
    ///
    /// # Errors
    /// `Internal`, too, when the answer is about another sandbox. What has the name in the place of the id is the one that
    /// was asked for: some drivers in the field answer so.
    pub(crate) async fn find(&self, id: SandboxId, name: &str) -> Result<Option<SandboxStatus>, DriverError> {
        let (driver, name) = (Arc::clone(&self.inner), name.to_owned());
        let call = async move {
            let observed = said::observed(driver.get(&id).await?);
            if observed.id == id || observed.id.as_str() == name {
                return Ok(observed.status);
            }
            let message = format!("the driver was asked for `{id}` and answered with `{}`", observed.id);
            Err(DriverError::new(ErrorKind::Internal, Rpc::Get.operation(), message))
        };
        match self.bounded(Rpc::Get, self.deadlines.get, call).await {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        let driver = Arc::clone(&self.inner);
        let listed = self.bounded(Rpc::List, self.deadlines.list, async move { driver.list().await }).await?;
        Ok(listed.into_iter().map(said::observed).collect())
    }

    pub(crate) async fn watch(&self) -> Result<Events, DriverError> {
        let driver = Arc::clone(&self.inner);
        self.bounded(Rpc::Watch, self.deadlines.watch, async move { driver.watch().await }).await.map(Events)
    }

    /// Runs `call` in a task of its own for at most `deadline`, then drops it; counted, and a span for those who trace.
    async fn bounded<T: Send + 'static>(
        &self,
        rpc: Rpc,
        deadline: Duration,
        call: impl Future<Output = Result<T, DriverError>> + Send + 'static,
    ) -> Result<T, DriverError> {
        let mut counting = Counting::begin(&self.counters, rpc);
        let mut task = AbortOnDrop(tokio::spawn(call.instrument(counting.span.clone())));
        let operation = rpc.operation();
        let answer = match tokio::time::timeout(deadline, &mut task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => match error.try_into_panic() {
                Ok(panic) => Err(panicked(operation, panic.as_ref())),
                Err(_) => {
                    Err(DriverError::new(ErrorKind::Unavailable, operation, "the gateway is going away"))
                }
            },
            Err(_) => {
                let message = format!("the driver did not answer within {deadline:?}");
                Err(DriverError::new(ErrorKind::DeadlineExceeded, operation, message))
            }
        };
        let answer = answer.map_err(said::error);
        counting.code = answer.as_ref().err().map_or(0, |error| error.kind().code());
        if let Err(error) = &answer
            && rpc.is_failure(counting.code)
        {
            self.counters.failed(rpc.name(), counting.code, error.message());
        }
        answer
    }
}

/// A call under way. It is counted when this goes, also where nobody waits for the answer any more.
struct Counting<'a> {
    counters: &'a Counters,
    rpc: Rpc,
    begun: Instant,
    span: tracing::Span,
    code: i32,
}

impl<'a> Counting<'a> {
    fn begin(counters: &'a Counters, rpc: Rpc) -> Self {
        let span = tracing::debug_span!("driver call", rpc = rpc.name(), code = tracing::field::Empty);
        Self { counters, rpc, begun: Instant::now(), span, code: tonic::Code::Cancelled as i32 }
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.span.record("code", self.code);
        if self.counters.called(self.rpc, self.code, self.begun.elapsed()) {
            tracing::info!(rpc = self.rpc.name(), "this driver does not have the call");
        }
    }
}

/// What came of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// Nothing is there.
    Gone,
    /// The driver has taken it; it is still there.
    Taken,
}

/// A driver's stream of events, of which a panic is an error.
pub(crate) struct Events(EventStream);

impl Events {
    /// The next one if it has come already; one that has not is not lost by asking.
    pub(crate) fn next_ready(&mut self) -> Option<Option<Result<WatchEvent, DriverError>>> {
        self.next().now_or_never()
    }

    pub(crate) async fn next(&mut self) -> Option<Result<WatchEvent, DriverError>> {
        let item = match AssertUnwindSafe(self.0.next()).catch_unwind().await {
            Ok(item) => item?,
            Err(panic) => Err(panicked("watch sandboxes", panic.as_ref())),
        };
        Some(item.map(said::event).map_err(said::error))
    }
}

/// The panic's own text goes to the log alone: it is for the driver's authors, not for clients.
fn panicked(operation: &'static str, panic: &(dyn Any + Send)) -> DriverError {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    tracing::error!(operation, panic = text, "the driver panicked");
    DriverError::new(ErrorKind::Internal, operation, "the driver panicked")
}

#[cfg(test)]
mod tests;
