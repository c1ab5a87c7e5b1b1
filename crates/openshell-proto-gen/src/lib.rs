//! Makes the bindings of openshell-proto out of proto/; run by `cargo xtask gen` alone.
