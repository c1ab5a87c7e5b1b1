//! Archives as the kernel unpacks them: cpio in the format "newc" (the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).

/// An archive that is being written. Its bytes depend on what is put into it alone: every entry is root's and of 1970.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: usize,
}

impl Archive {
    /// Adds a directory; its parent has to be there.
    pub(crate) fn directory(&mut self, path: &str) {
        self.entry(path, 0o040_755, (0, 0), &[]);
    }

    /// Adds a file with these permissions.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, 0o100_000 | mode, (0, 0), content);
    }

    /// Adds a device that root may read and write.
    pub(crate) fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, 0o020_600, (major, minor), &[]);
    }

    /// The archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let (inode, size, name) = (self.entries, content.len(), path.len() + 1);
        let (major, minor) = device;
        // Magic; inode, mode, uid, gid, links, mtime, size; the file's own device; the device that it is; name, checksum.
        let header = format!(
            "070701{inode:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}{:08x}{:08x}{major:08x}{minor:08x}{name:08x}{:08x}",
            0, 0, 1, 0, 0, 0, 0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_byte_for_byte() {
        let mut archive = Archive::default();
        archive.character_device("dev/console", 5, 1);
        archive.file("init", 0o755, b"abcde");
        let zero = "00000000";
        let expected = [
            &format!("070701{:08x}{:08x}{zero}{zero}{:08x}{zero}{zero}", 1, 0o020_600, 1),
            &format!("{zero}{zero}{:08x}{:08x}{:08x}{zero}dev/console\0\0\0", 5, 1, 12),
            &format!("070701{:08x}{:08x}{zero}{zero}{:08x}{zero}{:08x}", 2, 0o100_755, 1, 5),
            &format!("{zero}{zero}{zero}{zero}{:08x}{zero}init\0\0abcde\0\0\0", 5),
            &format!("070701{:08x}{zero}{zero}{zero}{:08x}{zero}{zero}", 3, 1),
            &format!("{zero}{zero}{zero}{zero}{:08x}{zero}TRAILER!!!\0\0\0\0", 11),
        ];
        let bytes = archive.finish();
        assert_eq!(String::from_utf8_lossy(&bytes), expected.map(String::as_str).concat());
        assert_eq!(bytes.len() % 4, 0);
    }
}
