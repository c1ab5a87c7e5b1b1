//! The reader of manifests from outside: fixtures with their exact output, real and whole manifests, and noise.

mod fixtures;
mod good;
mod noise;
mod selection;
mod support;
