//! The one error of a driver: a kind that callers match, an operation, a message for people, a source.

/// What went wrong, in the terms of gRPC's status codes; callers match this and never a text.
///
/// Source of the meanings and the numbers: the gRPC "Status codes and their use in gRPC" guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request cannot be honoured as it stands.
    InvalidArgument = 3,
    /// No such thing under this gateway.
    NotFound = 5,
    /// The id is taken.
    AlreadyExists = 6,
    /// The backend's state does not allow it now.
    FailedPrecondition = 9,
    /// A quota, a limit, or a reader that fell behind.
    ResourceExhausted = 8,
    /// The caller may not.
    PermissionDenied = 7,
    /// A conflict; a retry may succeed.
    Aborted = 10,
    /// Events were lost; come back for a new snapshot.
    DataLoss = 15,
    /// The backend or the driver is away.
    Unavailable = 14,
    /// The driver does not have this.
    Unimplemented = 12,
    /// It took longer than allowed.
    DeadlineExceeded = 4,
    /// Anything else.
    Internal = 13,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::AlreadyExists,
        Self::FailedPrecondition,
        Self::ResourceExhausted,
        Self::PermissionDenied,
        Self::Aborted,
        Self::DataLoss,
        Self::Unavailable,
        Self::Unimplemented,
        Self::DeadlineExceeded,
        Self::Internal,
    ];

    /// The number of gRPC's status code.
    #[must_use]
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The kind of a gRPC status code, for the codes that have one.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Whether the same request may succeed later without a change.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Aborted | Self::DataLoss | Self::Unavailable | Self::DeadlineExceeded)
    }
}

/// An error of a driver's operation. Its `Display` is its own layer only; the chain is in `source`.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct DriverError {
    kind: ErrorKind,
    operation: &'static str,
    message: String,
    reason: Option<&'static str>,
    hint: Option<String>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DriverError {
    /// An error of `kind` in `operation`, which is a verb and its object in lower case (`create container`).
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self { kind, operation, message: message.into(), reason: None, hint: None, source: None }
    }

    /// An `InvalidArgument`, the most frequent one.
    pub fn invalid(operation: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, operation, message)
    }

    /// A `NotFound` for the sandbox `id`.
    pub fn not_found(operation: &'static str, id: &crate::SandboxId) -> Self {
        Self::new(ErrorKind::NotFound, operation, format!("no sandbox `{id}`"))
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error without its cause.
    #[must_use]
    pub fn without_source(mut self) -> Self {
        self.source = None;
        self
    }

    /// The same error in other words.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The same error with the reason that the sandbox's `Ready` takes on where this error ends its life: a terminal one
    /// of [`conditions::reason`](crate::conditions::reason). Without one the gateway chooses by the call that failed.
    #[must_use]
    pub fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The reason for the sandbox's `Ready`, when the driver has a better one than the gateway.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The same error with what to do about it: a command that runs, or a line of configuration. It is for the operator
    /// of this process and does not go over the wire.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The message without the operation: what goes over the wire.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn display_is_its_own_layer_only() {
        let error = DriverError::new(ErrorKind::Unavailable, "list containers", "the engine does not answer")
            .with_source(std::io::Error::other("broken pipe"));
        assert_eq!(error.to_string(), "list containers: the engine does not answer");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("broken pipe"));
        assert_eq!((error.operation(), error.message()), ("list containers", "the engine does not answer"));
    }

    #[test]
    fn what_may_pass_by_itself_is_retryable() {
        let retryable =
            [ErrorKind::Aborted, ErrorKind::DataLoss, ErrorKind::Unavailable, ErrorKind::DeadlineExceeded];
        assert!(retryable.into_iter().all(ErrorKind::is_retryable));
        let not = [
            ErrorKind::InvalidArgument,
            ErrorKind::NotFound,
            ErrorKind::ResourceExhausted,
            ErrorKind::Internal,
        ];
        assert!(!not.into_iter().any(ErrorKind::is_retryable));
    }
}
