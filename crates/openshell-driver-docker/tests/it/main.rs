//! The Docker driver on a real engine. Every test has a gateway id of its own and takes back what it made.

mod bench;
mod create;
mod engine;
mod lifecycle;
mod posture;
mod watch;
