//! Why there is nothing to boot.

use std::io;
use std::path::PathBuf;

/// A fault of what the configuration names: the guest's first program or the kernel's modules.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuestError {
    /// A program that goes into the guest.
    #[error("cannot read {what} `{}`: {error}", path.display())]
    Program {
        /// What it is there.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
    /// A file or directory of the modules.
    #[error("cannot read `{}` of the guest kernel's modules: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What came of it.
        error: io::Error,
    },
    /// The directory has no modules in it.
    #[error(
        "`{}` is no directory of kernel modules: it has neither `modules.dep` nor `modules.order`, nor one directory \
         that has; `modules` is to be a kernel's own, like `/lib/modules/<version>`", .0.display()
    )]
    NoTree(PathBuf),
    /// A module that the guest needs.
    #[error(
        "the guest needs the kernel module `{name}`, which is neither built in (`{}/modules.builtin`) nor a file \
         (`{name}.ko`, `.ko.gz`, `.ko.xz`, `.ko.zst`) below `{}`", tree.display(), tree.display()
    )]
    NoModule {
        /// Its name.
        name: String,
        /// Where it was looked for.
        tree: PathBuf,
    },
    /// A module file that cannot be understood.
    #[error("`{}` is no kernel module: it has no section `.modinfo`", .0.display())]
    NotAModule(PathBuf),
    /// A module whose dependencies cannot be read where it is.
    #[error("`{}` is compressed, and `{}` has no `modules.dep` that says what it needs: run `depmod`", file.display(), tree.display())]
    Compressed {
        /// The module.
        file: PathBuf,
        /// Where `modules.dep` was looked for.
        tree: PathBuf,
    },
}
