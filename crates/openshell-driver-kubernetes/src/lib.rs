//! The Kubernetes compute driver: one pod a sandbox.
