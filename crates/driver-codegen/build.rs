//! The generator's version: a hash of its own sources and of the manifest reader's. It is part of the freshness
//! lock, so that a change of the generator makes every committed output suspect.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const SOURCES: [&str; 2] = ["src", "../driver-manifest/src"];

fn main() -> io::Result<()> {
    // FNV-1a of 128 bits: no secret is involved, and a hash crate would be compiled once more for build scripts.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for directory in SOURCES {
        println!("cargo::rerun-if-changed={directory}");
        let mut files = Vec::new();
        collect(Path::new(directory), &mut files)?;
        files.sort();
        for file in files {
            let name = file.to_string_lossy().replace('\\', "/");
            let content = fs::read(&file)?;
            for byte in name.bytes().chain([0]).chain(content).chain([0]) {
                hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
            }
        }
    }
    println!("cargo::rustc-env=DRIVER_CODEGEN_VERSION={hash:032x}");
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
