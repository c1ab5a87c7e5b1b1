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
mod tcp;
mod token;
