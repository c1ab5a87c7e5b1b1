//! The PyPI client that the gateway's tests run, in a virtual environment under the target directory.
//!
//! A machine without Python, or without PyPI, is no error here: the tests say what they skip, and fail where
//! `OPENSHELL_TEST_REQUIRE` names `python`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// The variable that says where the tests find the interpreter that has the client.
pub(crate) const VARIABLE: &str = "OPENSHELL_TEST_PYTHON";
/// What is installed.
const REQUIREMENTS: &str = "crates/openshell-server/tests/python/requirements.txt";

/// The interpreter that has the client, made when it is not there or not what the requirements say; `Err` holds why
/// there is none, in words.
///
/// # Errors
/// When the requirements cannot be read.
pub(crate) fn client(workspace: &Workspace, offline: bool) -> Result<std::result::Result<PathBuf, String>> {
    let wanted = workspace.read(REQUIREMENTS)?;
    let dir = workspace.target_dir().join("test-python");
    let python = dir.join("bin/python");
    let marker = dir.join("installed.txt");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) && python.is_file() {
        return Ok(Ok(python));
    }
    if offline {
        return Ok(Err("the client is not installed, and --offline forbids to install it".to_owned()));
    }
    eprintln!("installing {} into {}", REQUIREMENTS, workspace.show(&dir));
    if let Err(why) = install(&dir, &python, &workspace.path(REQUIREMENTS)) {
        return Ok(Err(why));
    }
    std::fs::write(&marker, wanted).map_err(Error::file("write", &marker))?;
    Ok(Ok(python))
}

fn install(dir: &Path, python: &Path, requirements: &Path) -> std::result::Result<(), String> {
    let args: [&OsStr; 4] = ["-m".as_ref(), "venv".as_ref(), "--clear".as_ref(), dir.as_os_str()];
    run(Command::new("python3").args(args), "python3 -m venv")?;
    let args =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r"];
    run(Command::new(python).args(args).arg(requirements), "pip install")
}

fn run(command: &mut Command, shown: &str) -> std::result::Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = if said.is_empty() { String::from_utf8_lossy(&output.stdout).trim().to_owned() } else { said };
    let last = said.lines().last().unwrap_or("no reason given");
    Err(format!("{shown} failed: {last}"))
}
