//! Configuration, selection of the driver, detection, telemetry.

pub mod catalog;
