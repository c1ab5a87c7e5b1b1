//! The Docker compute driver: bollard, one container a sandbox.
