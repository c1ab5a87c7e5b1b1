//! What `debugfs` is told where the driver is not root and so cannot give files away: their owners, modes and capabilities,
//! written into the disk itself.
//!
//! Source: debugfs(8), `set_inode_field` and `ea_set`; in quotes, two quotes stand for one.

use std::io::Write;
use std::path::Path;

use super::Tree;
use crate::image::tar::Kind;
use crate::image::trouble::Trouble;

impl Tree {
    /// The commands, one a line; `None` where the driver is root and everything is as it should be. `scratch` is a directory for
    /// the values of attributes, which are given as files.
    ///
    /// # Errors
    /// For names that no line can hold.
    pub(in crate::image) fn script(&self, scratch: &Path) -> Result<Option<Vec<u8>>, Trouble> {
        if self.is_root {
            return Ok(None);
        }
        let mut script = Vec::new();
        for (index, (path, meta)) in self.later.iter().enumerate() {
            if path.iter().any(|byte| byte.is_ascii_control()) {
                let problem = "has a control character in its name, and only a driver that runs as root can keep its owner";
                return Err(Trouble::entry(path, problem));
            }
            let name = quoted(path);
            let kind: u32 = match meta.kind {
                Kind::Directory => 0o040_000,
                Kind::Symlink => 0o120_000,
                Kind::Fifo => 0o010_000,
                Kind::File | Kind::HardLink | Kind::Device => 0o100_000,
            };
            let mode = kind | if meta.kind == Kind::Symlink { 0o777 } else { meta.mode };
            for (field, value) in
                [("mode", format!("0{mode:o}")), ("uid", meta.uid.to_string()), ("gid", meta.gid.to_string())]
            {
                line(&mut script, &[b"sif ", &name, b" ", field.as_bytes(), b" ", value.as_bytes()]);
            }
            if let Some(value) = &meta.capability {
                let file = scratch.join(format!("capability-{index}"));
                std::fs::write(&file, value).map_err(Trouble::host("write an attribute"))?;
                let file = quoted(file.as_os_str().as_encoded_bytes());
                line(&mut script, &[b"ea_set -f ", &file, b" ", &name, b" security.capability"]);
            }
        }
        Ok(Some(script))
    }
}

fn line(script: &mut Vec<u8>, parts: &[&[u8]]) {
    // Writing to memory does not fail.
    let _ = script.write_all(&parts.concat());
    script.push(b'\n');
}

/// A path from the root of the disk on, in quotes.
fn quoted(path: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    if !path.starts_with(b"/") {
        quoted.push(b'/');
    }
    for byte in path {
        quoted.extend(if *byte == b'"' { &b"\"\""[..] } else { std::slice::from_ref(byte) });
    }
    quoted.push(b'"');
    quoted
}
