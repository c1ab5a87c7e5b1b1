//! The listeners, TLS and certificates, over real sockets.

mod certs;
mod crowd;
mod listen;
mod sandboxes;
mod support;
mod tls;
