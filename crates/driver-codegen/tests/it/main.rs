//! The generator from a manifest to files on disk, and the engine under faults.

mod engine;
mod golden;
mod keys;
mod matrix;
mod space;
mod subsets;
mod support;
