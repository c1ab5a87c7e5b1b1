//! The Podman compute driver: one container a sandbox, over libpod's own REST API.
