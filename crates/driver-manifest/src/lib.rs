//! `drivers.toml` text to an [`Assembly`], or every diagnostic with its span. Does no I/O.

mod model;

pub use model::*;
