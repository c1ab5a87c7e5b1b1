//! Where a program of ours is, a driver's or the supervisor, and whether it may be started: whoever can write to it decides
//! what this gateway runs.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::{DriverError, ErrorKind, ProgramSearch, ProgramSought, Tried};

const OPERATION: &str = "find its program";
/// Beside the directory of the gateway's program, as packages and `make install` lay things out.
const BESIDE: &str = "libexec/openshell";
/// Where a distribution puts programs that nobody calls by hand.
const SYSTEM: [&str; 2] = ["/usr/libexec/openshell", "/usr/lib/openshell"];

/// The outcome of a place where there is nothing, in [`Tried::outcome`].
pub const NOTHING: &str = "nothing there";

/// What is at one place.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Usable,
    /// Nothing: the next place may have it.
    Nothing,
    /// Something that is not started, and what to do about it. It hides the places after it, as it would in `PATH`.
    Unusable(String, Option<String>),
}

/// Looks for the program and starts nothing: where the configuration says that it is, else beside this program and in the
/// directories for such programs.
#[must_use]
pub fn look(search: &ProgramSearch) -> ProgramSought {
    let mut sought = ProgramSought::default();
    for path in places(search) {
        let place = judge(&path);
        let outcome = match &place {
            Place::Usable => "found".to_owned(),
            Place::Nothing => NOTHING.to_owned(),
            Place::Unusable(why, _) => why.clone(),
        };
        sought.tried.push(Tried { candidate: path.display().to_string(), outcome });
        match place {
            Place::Nothing => {}
            Place::Usable => {
                sought.path = Some(path);
                break;
            }
            Place::Unusable(..) => break,
        }
    }
    sought
}

/// The path of a driver's program.
///
/// # Errors
/// `NotFound` names every place that was looked at, `FailedPrecondition` says why the one that is there is not started.
pub fn find(search: &ProgramSearch) -> Result<PathBuf, DriverError> {
    let places = places(search);
    for path in &places {
        match judge(path) {
            Place::Usable => return Ok(path.clone()),
            Place::Nothing => {}
            Place::Unusable(why, hint) => return Err(unusable(path, &why, hint)),
        }
    }
    let ProgramSearch { driver, program, configured } = search;
    let build = format!("cargo xtask build --drivers {driver}");
    let (message, hint) = match configured {
        Some(path) => (
            format!("there is nothing at `{}`, where `program_path` says that it is", path.display()),
            format!("build it: {build}"),
        ),
        None => {
            let looked: String = places.iter().map(|path| format!("\n  {}", path.display())).collect();
            let key = format!("program_path = \"/path/to/{program}\" in [openshell.drivers.{driver}]");
            (
                format!("`{program}` is at none of these places:{looked}"),
                format!("build it: {build}, or say where it is: {key}"),
            )
        }
    };
    Err(DriverError::new(ErrorKind::NotFound, OPERATION, message).with_hint(hint))
}

/// Looks once more at a program that was found: it may have been replaced since.
///
/// # Errors
/// `FailedPrecondition` when it is gone, or is not to be started any more.
pub fn look_again(path: &Path) -> Result<(), DriverError> {
    match judge(path) {
        Place::Usable => Ok(()),
        Place::Nothing => Err(unusable(path, "gone", None)),
        Place::Unusable(why, hint) => Err(unusable(path, &why, hint)),
    }
}

/// Whether a program names an interpreter that loads its libraries (`PT_INTERP`, elf(5)). What is no ELF file of 64 bits,
/// little-endian, is not judged: its start tells. A sandbox's image may hold no library at all, so what is put into sandboxes
/// needs none.
///
/// # Errors
/// It cannot be read.
pub fn needs_libraries(path: &Path) -> io::Result<bool> {
    const PT_INTERP: [u8; 4] = 3_u32.to_le_bytes();
    /// Enough for the header and every program header of a program that a linker made.
    const HEAD: u64 = 4096;
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let number = |at: usize, bytes: usize| {
        let field = head.get(at..at + bytes)?;
        let mut whole = [0; 8];
        whole[..bytes].copy_from_slice(field);
        usize::try_from(u64::from_le_bytes(whole)).ok()
    };
    let (Some(first), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else {
        return Ok(false);
    };
    let mut kinds = (0..count).filter_map(|index| {
        let at = first.checked_add(index.checked_mul(size)?)?;
        head.get(at..at.checked_add(4)?)
    });
    Ok(kinds.any(|kind| kind == PT_INTERP))
}

fn unusable(path: &Path, why: &str, hint: Option<String>) -> DriverError {
    let message = format!("`{}` is {why}", path.display());
    let error = DriverError::new(ErrorKind::FailedPrecondition, OPERATION, message);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn places(search: &ProgramSearch) -> Vec<PathBuf> {
    match &search.configured {
        Some(path) => vec![path.clone()],
        None => usual_places(search.program, std::env::current_exe().ok().as_deref()),
    }
}

/// Beside the gateway's own program, then in the directories for such programs.
fn usual_places(program: &str, gateway: Option<&Path>) -> Vec<PathBuf> {
    let own = gateway.and_then(Path::parent);
    let beside = own.and_then(Path::parent).map(|prefix| prefix.join(BESIDE));
    let mut places: Vec<PathBuf> = Vec::new();
    for dir in own.map(Path::to_owned).into_iter().chain(beside).chain(SYSTEM.map(PathBuf::from)) {
        let path = dir.join(program);
        if !places.contains(&path) {
            places.push(path);
        }
    }
    places
}

fn judge(path: &Path) -> Place {
    let file = match std::fs::metadata(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Place::Nothing;
        }
        Err(error) => {
            return Place::Unusable(
                format!("not to be looked at ({error})"),
                Some(format!("namei -l {}", path.display())),
            );
        }
    };
    if !file.is_file() {
        return Place::Unusable("no file".to_owned(), None);
    }
    // The directory that holds it, where the path is a link: whoever may write there may put another in its place.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let dir = real.parent().and_then(|dir| Some((dir, std::fs::metadata(dir).ok()?)));
    if let Some(why) = foreign(&file) {
        return Place::Unusable(why, Some(format!("chown root: {0}; chmod go-w {0}", real.display())));
    }
    if let Some((dir, why)) = dir.and_then(|(dir, metadata)| Some((dir, foreign(&metadata)?))) {
        let why = format!("in the directory `{}`, which is {why}", dir.display());
        return Place::Unusable(why, Some(format!("chown root: {0}; chmod go-w {0}", dir.display())));
    }
    if rustix::fs::access(path, Access::EXEC_OK).is_err() {
        return Place::Unusable("not executable".to_owned(), Some(format!("chmod a+x {}", real.display())));
    }
    Place::Usable
}

/// Why others than this user and root could change it, if they could.
fn foreign(metadata: &Metadata) -> Option<String> {
    let own = |id: u32, ours: u32| id == 0 || id == ours;
    let mode = metadata.mode() & 0o7777;
    if !own(metadata.uid(), rustix::process::geteuid().as_raw()) {
        return Some(format!("the property of uid {}, neither this user nor root", metadata.uid()));
    }
    // In a sticky directory one may only put another name beside it; a group that may install programs is the
    // administrator's to name.
    let by_all = mode & 0o002 != 0 && (metadata.is_file() || mode & 0o1000 == 0);
    let foreign_group = metadata.is_file() && !own(metadata.gid(), rustix::process::getegid().as_raw());
    let by_group = mode & 0o020 != 0 && foreign_group;
    (by_all || by_group).then(|| format!("writable by others (mode {mode:04o})"))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn search(configured: Option<&Path>) -> ProgramSearch {
        ProgramSearch {
            driver: "moon".to_owned(),
            program: "openshell-driver-moon",
            configured: configured.map(Path::to_owned),
        }
    }

    fn mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
    }

    #[test]
    fn it_is_looked_for_beside_the_gateway_then_in_libexec_once_each() {
        let shown = |gateway: Option<&str>| -> Vec<String> {
            let places = usual_places("p", gateway.map(Path::new));
            places.iter().map(|path| path.display().to_string()).collect()
        };
        let system = ["/usr/libexec/openshell/p", "/usr/lib/openshell/p"];
        let opt = ["/opt/o/bin/p", "/opt/o/libexec/openshell/p"];
        assert_eq!(shown(Some("/opt/o/bin/openshell-gateway")), [&opt[..], &system[..]].concat());
        assert_eq!(shown(Some("/usr/bin/openshell-gateway")), [&["/usr/bin/p"], &system[..]].concat());
        assert_eq!(shown(None), system);
    }

    #[test]
    fn a_program_that_is_nowhere_is_an_error_with_every_place_and_the_command_that_builds_it() {
        let error = find(&search(None)).expect_err("no such driver");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let said = error.to_string();
        for place in places(&search(None)) {
            assert!(said.contains(&format!("\n  {}", place.display())), "{said}");
        }
        let hint = error.hint().expect("a hint");
        assert!(hint.contains("cargo xtask build --drivers moon"), "{hint}");
        assert!(hint.contains("program_path = \"/path/to/openshell-driver-moon\""), "{hint}");

        let error = find(&search(Some(Path::new("/nowhere/moon")))).expect_err("nothing is there");
        assert!(error.to_string().contains("nothing at `/nowhere/moon`"), "{error}");
    }

    #[test]
    fn what_others_may_change_or_nobody_can_run_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = home.path().join("bin");
        std::fs::create_dir(&dir).expect("make");
        mode(&dir, 0o755);
        let path = dir.join("moon");
        std::fs::write(&path, "#!/bin/sh\n").expect("write");
        let refused = |said: &str| {
            let error = find(&search(Some(&path))).expect_err(said);
            assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
            assert!(error.to_string().contains(said), "{error}");
            let sought = look(&search(Some(&path)));
            assert!(sought.path.is_none() && sought.tried[0].outcome.contains(said), "{sought:?}");
        };
        mode(&path, 0o644);
        refused("not executable");
        mode(&path, 0o757);
        refused("writable by others (mode 0757)");
        mode(&path, 0o755);
        mode(&dir, 0o777);
        refused("which is writable by others (mode 0777)");
        mode(&dir, 0o755);
        assert_eq!(find(&search(Some(&path))).expect("as it should be"), path);
        assert_eq!(look(&search(Some(&path))).path, Some(path.clone()));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65534), None).expect("chown");
            refused("the property of uid 65534");
        }
        std::fs::remove_file(&path).expect("remove");
        std::fs::create_dir(&path).expect("make");
        refused("no file");
    }

    #[test]
    fn what_is_not_to_be_started_hides_what_comes_after_it() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("moon");
        std::fs::write(&path, "").expect("write");
        mode(&path, 0o600);
        let sought = look(&search(Some(&path)));
        assert_eq!(sought.tried.len(), 1);
        assert_eq!(sought.tried[0].outcome, "not executable");
    }
}
