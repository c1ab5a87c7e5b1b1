//! What the drivers of container engines share: the judgement on a request, and the names, labels and files of what is made
//! for it, before any engine is spoken to.

pub mod asked;
pub mod binds;
pub mod credentials;
pub mod files;
pub mod gpu;
pub mod image;
pub mod judge;
pub mod learned;
pub mod limits;
pub mod marks;
pub mod mounts;
pub mod names;
pub mod platform;
pub mod posture;
pub mod pull;
pub mod supervised;
pub mod values;
