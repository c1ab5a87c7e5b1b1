//! The empty writable disk of a sandbox: a qcow2 image with nothing in it, so that every read falls through to the base.
//!
//! It names no base: QEMU is told which one on its command line, so that nothing in a file that a machine writes to can
//! make QEMU open another. Source of the layout: QEMU, `docs/interop/qcow2.rst`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The overlay's name in a sandbox's directory.
pub(crate) const NAME: &str = "overlay.qcow2";

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Bytes of the disk that one entry of the first table stands for: a second table of 8-byte entries, a cluster each.
const PER_L1_ENTRY: u64 = CLUSTER / 8 * CLUSTER;
/// QEMU refuses a larger first table.
const MOST_L1_BYTES: u64 = 32 << 20;
const HEADER_LENGTH: u32 = 104;

/// Makes the overlay `path`, 0600, of a disk of `size` bytes. What is at `path` already is never touched.
///
/// # Errors
/// `size` is no multiple of 512 or larger than the format holds, something is there already, or the file cannot be
/// written; then there is nothing new at `path`.
pub(crate) fn create(path: &Path, size: u64) -> io::Result<()> {
    let image = Image::of(size)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = image.write(&file);
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

/// An empty image: header, refcount table, one refcount block, first table; each begins a cluster, all else is zeros.
#[derive(Debug)]
struct Image {
    header: Vec<u8>,
    refcount_table: Vec<u8>,
    refcounts: Vec<u8>,
    length: u64,
}

impl Image {
    fn of(size: u64) -> io::Result<Self> {
        let l1_entries = size.div_ceil(PER_L1_ENTRY);
        let fits = size > 0 && size.is_multiple_of(512) && l1_entries * 8 <= MOST_L1_BYTES;
        let (true, Ok(l1_size)) = (fits, u32::try_from(l1_entries)) else {
            let text = format!("{size} bytes: a disk is a multiple of 512 bytes and at most 2 PiB");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let clusters = 3 + (l1_entries * 8).div_ceil(CLUSTER);

        let mut header = Vec::with_capacity(HEADER_LENGTH as usize + 8);
        header.extend_from_slice(b"QFI\xfb");
        header.extend_from_slice(&3_u32.to_be_bytes());
        header.extend_from_slice(&[0; 8 + 4]); // no name of a backing file
        header.extend_from_slice(&CLUSTER_BITS.to_be_bytes());
        header.extend_from_slice(&size.to_be_bytes());
        header.extend_from_slice(&[0; 4]); // no encryption
        header.extend_from_slice(&l1_size.to_be_bytes());
        header.extend_from_slice(&(3 * CLUSTER).to_be_bytes());
        header.extend_from_slice(&CLUSTER.to_be_bytes());
        header.extend_from_slice(&1_u32.to_be_bytes()); // clusters of the refcount table
        header.extend_from_slice(&[0; 4 + 8]); // no snapshots
        header.extend_from_slice(&[0; 3 * 8]); // no features
        header.extend_from_slice(&4_u32.to_be_bytes()); // refcounts of 1 << 4 bits
        header.extend_from_slice(&HEADER_LENGTH.to_be_bytes());
        header.extend_from_slice(&[0; 8]); // no extensions
        Ok(Self {
            header,
            refcount_table: (2 * CLUSTER).to_be_bytes().to_vec(),
            refcounts: (0..clusters).flat_map(|_| 1_u16.to_be_bytes()).collect(),
            length: clusters * CLUSTER,
        })
    }

    /// All of it is on the disk before a record says that the sandbox exists.
    fn write(&self, file: &File) -> io::Result<()> {
        file.set_len(self.length)?;
        file.write_all_at(&self.header, 0)?;
        file.write_all_at(&self.refcount_table, CLUSTER)?;
        file.write_all_at(&self.refcounts, 2 * CLUSTER)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_overlay_is_private_small_and_made_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        create(&path, 8 << 30).expect("made");
        let meta = std::fs::metadata(&path).expect("there");
        assert_eq!((meta.permissions().mode() & 0o777, meta.len()), (0o600, 4 * CLUSTER));
        let again = create(&path, 8 << 30).expect_err("there already");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::metadata(&path).expect("still there").len(), 4 * CLUSTER);
    }

    #[test]
    fn a_size_that_is_none_leaves_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        for size in [0, 511, 4 << 50] {
            let error = create(&path, size).expect_err("refused");
            assert_eq!(
                error.to_string(),
                format!("{size} bytes: a disk is a multiple of 512 bytes and at most 2 PiB")
            );
            assert!(!path.exists());
        }
    }

    #[test]
    fn the_first_table_has_an_entry_for_each_half_gibibyte() {
        let l1_size = |size| {
            u32::from_be_bytes(Image::of(size).expect("an image").header[36..40].try_into().expect("four"))
        };
        assert_eq!([l1_size(512), l1_size(512 << 20), l1_size((512 << 20) + 512)], [1, 1, 2]);
        // 16 TiB: the table itself takes four clusters.
        assert_eq!(Image::of(16 << 40).expect("an image").length, 7 * CLUSTER);
    }
}
