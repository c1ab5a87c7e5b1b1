//! The promises of `openshell-uds`, kept on real sockets in temporary directories.

mod bind;
mod connect;
mod serve;
mod support;
