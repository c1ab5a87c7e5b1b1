//! The kit against a driver in memory: it finds nothing at its best, and each fault by the cases that are about it.

mod bench;
mod best;
mod document;
mod faults;
mod in_process;
mod program;
