//! The proto bindings. Making them needs prost and protox, which `xtask` itself does not carry: a package of their
//! own makes them, and is run only when the protos or its sources changed, or when the committed ones were touched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use driver_codegen::engine::Tree;
use driver_codegen::{BINDINGS, Lock, digest};

use super::Mode;
use super::inputs::{PROTOS, binding_inputs, bindings_hold, files};
use crate::error::{Error, Result};
use crate::workspace::{Workspace, code, line, spawn};

/// The package that makes them.
const GENERATOR: &str = "openshell-proto-gen";

/// The bindings and what they are made of.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    /// Texts by path.
    pub(crate) files: BTreeMap<String, String>,
    /// Digests by path.
    pub(crate) inputs: BTreeMap<String, String>,
}

/// The committed bindings where the lock vouches for them, new ones otherwise.
pub(crate) fn bindings(
    workspace: &Workspace,
    tree: &Tree,
    lock: Option<&Lock>,
    mode: Mode,
) -> Result<Bindings> {
    let inputs = binding_inputs(tree);
    if !inputs.keys().any(|path| path.starts_with(PROTOS)) {
        return Ok(Bindings::default());
    }
    let committed =
        lock.filter(|lock| !mode.full && bindings_hold(lock, &inputs)).and_then(|lock| committed(tree, lock));
    let files = match committed {
        Some(files) => files,
        None => made(workspace, mode)?,
    };
    Ok(Bindings { files, inputs })
}

/// The files that are there, when each is what the lock says.
fn committed(tree: &Tree, lock: &Lock) -> Option<BTreeMap<String, String>> {
    let prefix = format!("{BINDINGS}/");
    let outputs = lock.outputs.iter().filter(|(path, _)| path.starts_with(&prefix));
    let texts = outputs.map(|(path, expected)| {
        let bytes = tree.read(path).ok()??;
        let text = (digest(&bytes) == *expected).then_some(bytes)?;
        Some((path.clone(), String::from_utf8(text).ok()?))
    });
    texts.collect::<Option<BTreeMap<_, _>>>().filter(|files| !files.is_empty())
}

fn made(workspace: &Workspace, mode: Mode) -> Result<BTreeMap<String, String>> {
    let out = tempfile::tempdir().map_err(Error::file("make a directory in", &std::env::temp_dir()))?;
    let out_path = out.path().to_string_lossy().into_owned();
    let mut args = vec!["run", "--quiet", "--package", GENERATOR];
    if mode.locked {
        args.push("--locked");
    }
    args.extend(["--", PROTOS, &out_path]);
    let status = workspace.cargo(&args).stdout(Stdio::null()).status().map_err(spawn("cargo"))?;
    if !status.success() {
        return Err(Error::Cargo { line: line(&args), code: code(status) });
    }
    let tree = Tree::new(out.path());
    let names = tree.names("").map_err(|error| Error::output(GENERATOR, error))?;
    let paths = names
        .into_iter()
        .flat_map(|(name, is_directory)| if is_directory { files(&tree, &name) } else { vec![name] });
    let read = |path: String| {
        let place: PathBuf = Path::new(&out_path).join(&path);
        let text = std::fs::read_to_string(&place).map_err(Error::file("read", &place))?;
        Ok((format!("{BINDINGS}/{path}"), text))
    };
    paths.map(read).collect()
}
