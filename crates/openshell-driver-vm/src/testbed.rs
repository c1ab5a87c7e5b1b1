//! What the tests' machines are made of on this host, and what is said where something is away. A test of `tests/it` has this
//! file as a module, too.

use std::path::PathBuf;

/// The parts.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// A kernel.
    pub(crate) kernel: PathBuf,
    /// Its modules.
    pub(crate) modules: PathBuf,
    /// An image: the archive of a root file system with busybox in it.
    pub(crate) image: PathBuf,
    /// The guest's first program, linked static.
    pub(crate) init: PathBuf,
}

impl Parts {
    /// The parts; nothing, and a word about it, when one is away: the test that asked is then to do nothing.
    pub(crate) fn find() -> Option<Self> {
        look().inspect_err(|why| skip(why)).ok()
    }
}

/// Prints why a test does nothing, or fails it where machines have to be there.
#[track_caller]
pub(crate) fn skip(why: &str) {
    let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word.trim() == "vm"), "vm is required, and there is {why}");
    println!("skipped: {why}");
}

fn look() -> Result<Parts, String> {
    let named = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from).ok_or(format!("no {name}"))?;
        if path.exists() { Ok(path) } else { Err(format!("no `{}`, which {name} names", path.display())) }
    };
    // A program of one's own, or the one that `cargo xtask test` has built with all the others.
    let init = named("OPENSHELL_TEST_VM_INIT").or_else(|_| {
        let path = named("OPENSHELL_TEST_BIN_DIR")?.join("openshell-vm-init");
        if path.exists() { Ok(path) } else { Err(format!("no `{}`", path.display())) }
    })?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    for program in ["qemu-system-x86_64", "setpriv", "mke2fs"] {
        let mut places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        if !places.any(|place| place.join(program).is_file()) {
            return Err(format!("no `{program}`"));
        }
    }
    Ok(Parts {
        kernel: named("OPENSHELL_TEST_KERNEL")?,
        modules: named("OPENSHELL_TEST_MODULES")?,
        image: named("OPENSHELL_TEST_ROOTFS")?,
        init,
    })
}
