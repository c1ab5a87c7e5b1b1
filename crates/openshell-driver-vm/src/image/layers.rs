//! What an image was found to be, and its layers written into a tree, each looked at byte by byte against its digest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::manifest::Runs;
use super::stream::{Hashed, Slice, Stream};
use super::tar::Archive;
use super::tree::Tree;
use super::trouble::Trouble;

/// An image, found.
#[derive(Debug)]
pub(super) struct Found {
    /// `None` for the archive of a root file system, whose digest is known once it has been read.
    pub(super) digest: Option<String>,
    pub(super) runs: Runs,
    /// The lowest first.
    pub(super) layers: Vec<Layer>,
}

/// A layer's bytes and what vouches for them.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) bytes: Slice,
    pub(super) check: Check,
}

/// What a layer's bytes have to come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// This digest, as they are.
    Packed(String),
    /// This digest, unpacked.
    Unpacked(String),
    /// They are the image: a whole file system, and their digest is its.
    Whole,
}

/// Whether anybody waits still; asked between two pieces of work.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

/// Stops the work when dropped.
#[derive(Debug, Default)]
pub(super) struct Stopper(Stop);

impl Stop {
    /// # Errors
    /// [`Trouble::Stopped`] when nobody waits.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        if self.0.load(Ordering::Relaxed) { Err(Trouble::Stopped) } else { Ok(()) }
    }
}

impl Stopper {
    pub(super) fn stop(&self) -> Stop {
        self.0.clone()
    }
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Writes all layers into a tree for a disk of `size` bytes, says which one it begins, and gives the image's digest.
pub(super) fn unpack(
    found: &Found,
    tree: &mut Tree,
    size: u64,
    stop: &Stop,
    begins: impl Fn(usize),
) -> Result<String, Trouble> {
    // An archive may write the same file again and again; how much it may write in all is bounded, too.
    let most = size.saturating_mul(4);
    let mut whole = None;
    for (index, Layer { bytes, check }) in found.layers.iter().enumerate() {
        begins(index);
        let hashed = if matches!(check, Check::Unpacked(_)) { Hashed::Unpacked } else { Hashed::Packed };
        let stream = Stream::open(bytes.clone(), hashed, most, size, stop.clone())?;
        let is_whole = *check == Check::Whole;
        let mut archive = Archive::new(stream, is_whole);
        tree.apply(&mut archive, is_whole)?;
        let digest = archive.into_source().finish()?;
        match check {
            Check::Packed(wanted) | Check::Unpacked(wanted) if *wanted != digest => {
                let what = format!("its layer {}", index + 1);
                return Err(Trouble::Digest { what, found: digest, wanted: wanted.clone() });
            }
            Check::Whole => whole = Some(digest),
            Check::Packed(_) | Check::Unpacked(_) => {}
        }
    }
    tree.finish()?;
    found.digest.clone().or(whole).ok_or_else(|| Trouble::Image("it has no layers".into()))
}
