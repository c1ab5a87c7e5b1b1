//! Images from their references to their disks, with the programs and the registry that are really used.

pub(super) mod bench;
pub(super) mod build;
mod concurrent;
mod faults;
mod kinds;
mod measure;
mod pulls;
