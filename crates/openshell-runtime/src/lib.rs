//! Lifecycle, store, watch and the gRPC services of the gateway.
