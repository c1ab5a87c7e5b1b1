//! The gateway: features, generated dispatch, main.
