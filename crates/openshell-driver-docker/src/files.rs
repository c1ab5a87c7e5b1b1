//! What is put into a container before it starts: its workspace's owner and its token, as a tar archive over the API,
//! so that nothing of it ever lies on the host.

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use openshell_driver_api::{DriverError, ErrorKind, Secret};

use crate::container::WORKSPACE;
use crate::engine::Engine;
use crate::error;

/// The directory of the token.
pub(crate) const TOKEN_DIRECTORY: &str = "/run/openshell";
/// Where the token lies inside.
pub(crate) const TOKEN_PATH: &str = "/run/openshell/token";

/// An account file larger than this is not read: it comes out of an image that nobody vouches for.
const MAX_ACCOUNTS: usize = 1024 * 1024;

/// Gives the workspace and the new volumes at `fresh` to the user that the main process runs as, and puts the token
/// where only that user reads it.
///
/// Without capabilities not even root writes into a directory of somebody else's, and an image's `/sandbox` may be
/// anybody's.
pub(crate) async fn prepare(
    engine: &Engine,
    container: &str,
    user: &str,
    fresh: &[String],
    token: &Secret,
) -> Result<(), DriverError> {
    let owner = resolve(engine, container, user).await?;
    let mut archive = Archive::default();
    archive.directory(WORKSPACE, 0o755, owner);
    for target in fresh {
        archive.directory(target, 0o755, owner);
    }
    if !token.is_empty() {
        archive.directory("/run", 0o755, Owner::default());
        archive.directory(TOKEN_DIRECTORY, 0o700, owner);
        archive.file(TOKEN_PATH, 0o600, owner, token.expose().as_bytes());
    }
    // As a stream: the client library logs whole bodies at trace level, streams it does not.
    let body = bollard::body_stream(stream::iter([Bytes::from(archive.finish())]));
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    let uploaded = engine.docker.upload_to_container(container, Some(options), body).await;
    uploaded.map_err(|error| error::engine("prepare files", error))
}

/// Numbers of a user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// `user[:group]` as numbers; names are looked up in the container's own files.
async fn resolve(engine: &Engine, container: &str, user: &str) -> Result<Owner, DriverError> {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let mut owner = match user {
        "" | "root" => Owner::default(),
        _ => match user.parse() {
            Ok(uid) => Owner { uid, gid: 0 },
            Err(_) => {
                let accounts = read_file(engine, container, "/etc/passwd").await?;
                lookup(&accounts, user, 2)
                    .zip(lookup(&accounts, user, 3))
                    .map(|(uid, gid)| Owner { uid, gid })
                    .ok_or_else(|| {
                        let message = format!("the image has no user `{user}` in its /etc/passwd");
                        DriverError::new(ErrorKind::FailedPrecondition, "prepare files", message)
                    })?
            }
        },
    };
    if let Ok(gid) = group.parse() {
        owner.gid = gid;
    } else if !group.is_empty() {
        let groups = read_file(engine, container, "/etc/group").await?;
        owner.gid = lookup(&groups, group, 2).ok_or_else(|| {
            let message = format!("the image has no group `{group}` in its /etc/group");
            DriverError::new(ErrorKind::FailedPrecondition, "prepare files", message)
        })?;
    }
    Ok(owner)
}

/// The number in a column of the line of `name` in the text of an account file.
fn lookup(accounts: &str, name: &str, column: usize) -> Option<u32> {
    let mut lines = accounts.lines().map(|line| line.split(':'));
    lines
        .find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(column - 1)?.parse().ok())?)
}

/// A text file of a container, as the only member of the archive in which the engine sends it; empty when there is none.
async fn read_file(engine: &Engine, container: &str, path: &str) -> Result<String, DriverError> {
    let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
    let mut chunks = engine.docker.download_from_container(container, Some(options));
    let mut archive = Vec::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => archive.extend_from_slice(&chunk),
            Err(error) if error::status(&error) == Some(404) => return Ok(String::new()),
            Err(error) => return Err(error::engine("read accounts", error)),
        }
        if archive.len() > MAX_ACCOUNTS {
            let message = format!("`{path}` of the image is larger than {MAX_ACCOUNTS} bytes");
            return Err(DriverError::new(ErrorKind::FailedPrecondition, "read accounts", message));
        }
    }
    Ok(first_member(&archive).unwrap_or_default())
}

/// The content of an archive's first plain file.
fn first_member(archive: &[u8]) -> Option<String> {
    let header = archive.get(..BLOCK)?;
    if !matches!(header[156], b'0' | 0) {
        return None;
    }
    let digits = std::str::from_utf8(&header[124..136]).ok()?;
    let size = usize::from_str_radix(digits.trim_matches(['\0', ' ']), 8).ok()?;
    archive.get(BLOCK..BLOCK.checked_add(size)?).map(|content| String::from_utf8_lossy(content).into_owned())
}

const BLOCK: usize = 512;
/// How long a name may be in a header.
const MAX_NAME: usize = 100;

/// A tar archive being written, in the POSIX "ustar" format, with extended headers for long names.
///
/// Source of the layout: POSIX.1-2017, "pax", "ustar Interchange Format" and "pax Extended Header".
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    fn directory(&mut self, path: &str, mode: u32, owner: Owner) {
        self.header(&format!("{}/", path.trim_start_matches('/')), b'5', mode, owner, 0);
    }

    fn file(&mut self, path: &str, mode: u32, owner: Owner, content: &[u8]) {
        self.header(path.trim_start_matches('/'), b'0', mode, owner, content.len() as u64);
        self.content(content);
    }

    fn header(&mut self, name: &str, kind: u8, mode: u32, owner: Owner, size: u64) {
        if name.len() > MAX_NAME {
            self.long_name(name);
        }
        let mut header = [0_u8; BLOCK];
        let short = &name.as_bytes()[..name.len().min(MAX_NAME)];
        header[..short.len()].copy_from_slice(short);
        number(&mut header[100..108], u64::from(mode));
        number(&mut header[108..116], u64::from(owner.uid));
        number(&mut header[116..124], u64::from(owner.gid));
        number(&mut header[124..136], size);
        number(&mut header[136..148], 0);
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        // The sum is taken with its own field as spaces.
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        number(&mut header[148..155], sum);
        self.bytes.extend_from_slice(&header);
    }

    /// A name that has no room in a header, in a record before it: `LENGTH path=NAME`, the length its own digits included.
    fn long_name(&mut self, name: &str) {
        let rest = " path=\n".len() + name.len();
        let digits = |length: usize| length.to_string().len();
        // One more digit may make the length one digit longer.
        let length = rest + digits(rest + digits(rest));
        let record = format!("{length} path={name}\n");
        self.header("path", b'x', 0o600, Owner::default(), record.len() as u64);
        self.content(record.as_bytes());
    }

    fn content(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(content);
        let whole = self.bytes.len().next_multiple_of(BLOCK);
        self.bytes.resize(whole, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

/// Octal digits and a NUL; a number too large for that in base 256 with the top bit set, as GNU tar and Go read it.
fn number(field: &mut [u8], value: u64) {
    let width = field.len() - 1;
    let octal = format!("{value:0width$o}");
    if octal.len() == width {
        field[..width].copy_from_slice(octal.as_bytes());
        field[width] = 0;
        return;
    }
    field.fill(0);
    let bytes = value.to_be_bytes();
    let count = field.len().min(bytes.len());
    let start = field.len() - count;
    field[start..].copy_from_slice(&bytes[bytes.len() - count..]);
    field[0] |= 0x80;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_reads_back() {
        let mut archive = Archive::default();
        archive.file("/run/openshell/token", 0o600, Owner { uid: 1000, gid: 7 }, b"s3cret");
        let bytes = archive.finish();
        assert_eq!(bytes.len(), 4 * BLOCK);
        assert_eq!(first_member(&bytes).as_deref(), Some("s3cret"));
        assert_eq!(&bytes[..20], b"run/openshell/token\0");
        assert_eq!(&bytes[100..108], b"0000600\0");
        assert_eq!(&bytes[108..116], b"0001750\0");
        assert_eq!(&bytes[257..265], b"ustar\x0000");
    }

    #[test]
    fn a_long_name_is_whole() {
        for length in [99, 100, 101, 511, 988, 990, 1024] {
            let mut archive = Archive::default();
            let name = format!("/{}", "a".repeat(length - 1));
            archive.directory(&name, 0o755, Owner { uid: 1000, gid: 1000 });
            let root = tempfile::tempdir().expect("a directory");
            let file = root.path().join("archive.tar");
            std::fs::write(&file, archive.finish()).expect("a file");
            let listed = std::process::Command::new("tar").arg("-tf").arg(&file).output().expect("tar");
            let said = String::from_utf8_lossy(&listed.stderr).into_owned();
            assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), format!("{}/", &name[1..]), "{said}");
        }
    }

    #[test]
    fn large_numbers_take_base_256() {
        let mut field = [0; 8];
        number(&mut field, 0o7_777_777);
        assert_eq!(&field, b"7777777\0");
        number(&mut field, 4_294_967_294);
        assert_eq!(field, [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe]);
    }

    #[test]
    fn accounts_are_looked_up_by_exact_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nsand:x:9:9::/:/bin/sh\nsandbox:x:1000:1001::/sandbox:/bin/sh\nbad\n";
        assert_eq!((lookup(passwd, "sandbox", 2), lookup(passwd, "sandbox", 3)), (Some(1000), Some(1001)));
        assert_eq!((lookup(passwd, "sandb", 2), lookup(passwd, "bad", 2)), (None, None));
    }

    #[test]
    fn junk_is_no_archive() {
        assert_eq!(first_member(b""), None);
        assert_eq!(first_member(&[0xff; 600]), None);
    }
}
