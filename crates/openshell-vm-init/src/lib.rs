//! What the micro-VM driver and the first program of its guest say to each other.
//!
//! The program itself is this package's binary; the driver links only this library. Everything in [`protocol`] goes
//! over one virtio-serial port, and what a supervisor and its gateway say to each other over a second one ([`line`]), so there
//! is no network between the two and nothing to authenticate: who holds the other end of a port is the driver, and nobody
//! else can be.

pub mod line;
pub mod protocol;
