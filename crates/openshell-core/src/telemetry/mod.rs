//! Usage events: how often what is done, with which kind of driver, and how it ends. No name, no id, no text of a user.
//!
//! The cargo feature `telemetry` decides whether there is code: without it everything here is of size zero, does
//! nothing, and the binary holds no endpoint, no sender and no name of a setting of theirs. The variable
//! [`ENV_ENABLED`] decides whether code that is there acts. An endpoint, of which there is none by default, decides
//! whether anything is started at all.

mod event;

#[cfg(feature = "telemetry")]
mod connect;
#[cfg(feature = "telemetry")]
mod on;
#[cfg(feature = "telemetry")]
mod sender;

#[cfg(not(feature = "telemetry"))]
mod off;

pub use event::{Action, DriverKind, Outcome, UsageEvent};

#[cfg(not(feature = "telemetry"))]
pub use off::{Settings, Telemetry};
#[cfg(feature = "telemetry")]
pub use on::{Settings, Telemetry};

/// The variable that says whether telemetry acts: `0`, `false`, `no` or `off`, of any case, and it does not. A sandbox is
/// told by the same name.
pub const ENV_ENABLED: &str = "OPENSHELL_TELEMETRY_ENABLED";
