//! The listeners, TLS and certificates, over real sockets.

mod certs;
mod crowd;
mod listen;
mod support;
mod tls;
