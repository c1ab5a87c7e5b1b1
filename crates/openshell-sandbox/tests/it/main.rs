//! The supervisor's program against a gateway of the tests' own, on a real socket.

mod answers;
mod channel;
mod channels;
mod exit;
mod gateway;
mod logs;
mod measure;
mod methods;
mod program;
mod session;
#[path = "../skip/mod.rs"]
mod skip;
mod tcp;
mod tls;
mod token;
