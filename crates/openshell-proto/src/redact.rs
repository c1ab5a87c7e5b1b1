//! `Debug` for the messages that hold a credential: it says that there is one, and no more.
//!
//! The generator derives none for a message with a field called `token` or `…_token`, so that a new one does not
//! compile before it is here.

use std::fmt::{Debug, Formatter, Result};

use crate::compute::v1::DriverSandboxSpec;
use crate::openshell::v1::{
    ExtensionServiceCredential, RefreshSandboxTokenResponse, TcpForwardInit, tcp_forward_init,
};

/// Stands for a credential.
fn redacted(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { "(redacted)" }
}

/// Implements `Debug` for a message by naming all of its fields: one that is left out does not compile.
macro_rules! redacting_debug {
    ($message:ident { $($shown:ident),* $(,)? } secret $secret:ident) => {
        impl Debug for $message {
            fn fmt(&self, f: &mut Formatter<'_>) -> Result {
                let Self { $($shown,)* $secret } = self;
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($shown), $shown))*
                    .field(stringify!($secret), &redacted($secret))
                    .finish()
            }
        }
    };
}

redacting_debug!(DriverSandboxSpec {
    log_level, environment, template, resource_requirements, command, tty,
} secret sandbox_token);
redacting_debug!(TcpForwardInit { sandbox_id, service_id, target } secret authorization_token);
redacting_debug!(RefreshSandboxTokenResponse { expires_at_ms, extension_credentials } secret token);
redacting_debug!(ExtensionServiceCredential { service_name, expires_at_ms } secret token);

// The generator skips a message's choices together with the message.
impl Debug for tcp_forward_init::Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Ssh(target) => f.debug_tuple("Ssh").field(target).finish(),
            Self::Tcp(target) => f.debug_tuple("Tcp").field(target).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::compute::v1::{CreateSandboxRequest, DriverSandbox, DriverSandboxSpec};

    #[test]
    fn no_credential_is_printed_however_deep_it_lies() {
        let spec = DriverSandboxSpec { sandbox_token: "s3cret".to_owned(), ..Default::default() };
        let request =
            CreateSandboxRequest { sandbox: Some(DriverSandbox { spec: Some(spec), ..Default::default() }) };
        let printed = format!("{request:?} {request:#?}");
        assert!(!printed.contains("s3cret"), "{printed}");
        assert!(printed.contains("(redacted)"), "{printed}");
    }

    #[test]
    fn the_absence_of_a_credential_can_be_seen() {
        assert!(format!("{:?}", DriverSandboxSpec::default()).contains("sandbox_token: \"\""));
    }
}
