//! `install`: puts this program, the sandbox's token and the gateway's CA where a sandbox has them. It is what runs before a
//! sandbox's first process where nothing of the gateway's host can be bound into one: in an image of this program alone.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::args::Install;
use crate::say::say;

/// This program, whatever its name.
const SELF: &str = "/proc/self/exe";
/// The directory is for everybody to look into and for nobody to change.
const DIRECTORY: u32 = 0o755;

/// A file that cannot be had or put.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub(crate) struct InstallError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Puts each file there as a whole, in place of one that is there.
pub(crate) fn install(arguments: &Install) -> Result<(), InstallError> {
    let directory = Path::new(&arguments.directory);
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| InstallError { action, path, source }
    };
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("make the directory", directory)(error));
        }
        _ => {}
    }
    match fs::set_permissions(directory, Permissions::from_mode(DIRECTORY)) {
        // A volume that is another's: whoever gave it decides who may write there.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            say(format_args!("`{}` is not closed to others: {error}", directory.display()));
        }
        closed => closed.map_err(failed("change the mode of", directory))?,
    }
    let files = [
        (Some(SELF), "supervisor", 0o555),
        (arguments.token.as_deref(), "token", 0o400),
        (arguments.ca.as_deref(), "ca.crt", 0o444),
    ];
    for (from, name, mode) in files {
        let Some(from) = from.map(Path::new) else { continue };
        let bytes = fs::read(from).map_err(failed("read", from))?;
        let (fresh, to) = (directory.join(format!("{name}.new")), directory.join(name));
        put(&bytes, &fresh, &to, mode).map_err(failed("write", &to))?;
    }
    Ok(())
}

/// Writes `path` by way of `fresh`: it has all of the bytes with these permissions, or is what it was.
fn put(bytes: &[u8], fresh: &Path, path: &Path, mode: u32) -> io::Result<()> {
    // Of an attempt that was cut off.
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Nobody else's before it is complete.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    file.write_all(bytes)?;
    drop(file);
    // Whatever the umask made of it.
    fs::set_permissions(fresh, Permissions::from_mode(mode))?;
    fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").permissions().mode() & 0o7777
    }

    #[test]
    fn everything_is_put_in_its_place_and_put_there_again() {
        let home = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: &str| {
            let path = home.path().join(name);
            fs::write(&path, text).expect("a file");
            path.to_string_lossy().into_owned()
        };
        let directory = home.path().join("openshell");
        let mut arguments = Install {
            directory: directory.to_string_lossy().into_owned(),
            token: Some(file("t", "osb1.token")),
            ca: Some(file("c", "PEM")),
        };
        for token in ["osb1.token", "osb1.another"] {
            fs::write(home.path().join("t"), token).expect("a file");
            // What was cut off is no obstacle.
            fs::create_dir_all(&directory).expect("the directory");
            fs::write(directory.join("token.new"), "half").expect("a file");
            install(&arguments).expect("installed");
            assert_eq!(fs::read_to_string(directory.join("token")).expect("the token"), token);
        }
        assert_eq!(fs::read_to_string(directory.join("ca.crt")).expect("the CA"), "PEM");
        let own = fs::read(std::env::current_exe().expect("this program")).expect("it can be read");
        assert!(fs::read(directory.join("supervisor")).expect("the program") == own);
        let modes = ["supervisor", "token", "ca.crt"].map(|name| mode(&directory.join(name)));
        assert_eq!((modes, mode(&directory)), ([0o555, 0o400, 0o444], 0o755));
        assert_eq!(fs::read_dir(&directory).expect("it").count(), 3, "nothing is left over");

        arguments.ca = Some("/nowhere/ca".to_owned());
        let error = install(&arguments).expect_err("there is no such file");
        assert!(error.to_string().starts_with("cannot read `/nowhere/ca`: "), "{error}");
    }
}
