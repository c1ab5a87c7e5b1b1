//! Where a sandbox finds its files, whose they are, and the tar archives in which engines take and give files.

use openshell_driver_api::{DriverError, ErrorKind};

/// Where the workspace is mounted: what is below it survives a stop.
pub const WORKSPACE: &str = "/sandbox";
/// The accounts of a container.
pub const USERS: &str = "/etc/passwd";
/// The groups of a container.
pub const GROUPS: &str = "/etc/group";
/// The directory of the token.
pub const TOKEN_DIRECTORY: &str = "/run/openshell";
/// Where the token lies inside.
pub const TOKEN_PATH: &str = "/run/openshell/token";

/// An account file larger than this is not read: it comes out of an image that nobody vouches for.
const MAX_ACCOUNTS: usize = 1024 * 1024;

/// Numbers of a user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    /// The user's.
    pub uid: u32,
    /// The group's.
    pub gid: u32,
}

/// Who a main process is, as an image or a request writes it: `user[:group]`, by names or numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account<'a> {
    user: &'a str,
    group: &'a str,
}

impl<'a> Account<'a> {
    /// Takes the text apart; empty is root.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        Self { user, group }
    }

    /// Whether `/etc/passwd` has to be read for it.
    #[must_use]
    pub fn needs_users(&self) -> bool {
        !matches!(self.user, "" | "root") && self.user.parse::<u32>().is_err()
    }

    /// Whether `/etc/group` has to be read for it.
    #[must_use]
    pub fn needs_groups(&self) -> bool {
        !self.group.is_empty() && self.group.parse::<u32>().is_err()
    }

    /// Its numbers where no file has to be read for them.
    #[must_use]
    pub fn numbers(&self) -> Option<Owner> {
        if self.needs_users() || self.needs_groups() { None } else { self.owner("", "").ok() }
    }

    /// Its numbers. The texts of files that are not needed may be empty.
    ///
    /// # Errors
    /// `FailedPrecondition` for a name that the image's files do not have.
    pub fn owner(&self, users: &str, groups: &str) -> Result<Owner, DriverError> {
        let missing = |what: &str, name: &str, file: &str| {
            let message = format!("the image has no {what} `{name}` in its {file}");
            DriverError::new(ErrorKind::FailedPrecondition, "prepare files", message)
        };
        let mut owner = match (self.user, self.user.parse()) {
            ("" | "root", _) => Owner::default(),
            (_, Ok(uid)) => Owner { uid, gid: 0 },
            (user, Err(_)) => lookup(users, user, 2)
                .zip(lookup(users, user, 3))
                .map(|(uid, gid)| Owner { uid, gid })
                .ok_or_else(|| missing("user", user, USERS))?,
        };
        if let Ok(gid) = self.group.parse() {
            owner.gid = gid;
        } else if !self.group.is_empty() {
            owner.gid = lookup(groups, self.group, 2).ok_or_else(|| missing("group", self.group, GROUPS))?;
        }
        Ok(owner)
    }
}

/// The number in a column of the line of `name` in the text of an account file.
fn lookup(accounts: &str, name: &str, column: usize) -> Option<u32> {
    let mut lines = accounts.lines().map(|line| line.split(':'));
    lines
        .find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(column - 1)?.parse().ok())?)
}

/// The text of an account file out of the archive in which an engine sends it, chunk by chunk.
#[derive(Debug, Default)]
pub struct AccountFile(Vec<u8>);

impl AccountFile {
    /// Takes a chunk in.
    ///
    /// # Errors
    /// `FailedPrecondition` when there is more than an account file holds.
    pub fn take(&mut self, path: &str, chunk: &[u8]) -> Result<(), DriverError> {
        self.0.extend_from_slice(chunk);
        if self.0.len() > MAX_ACCOUNTS {
            let message = format!("`{path}` of the image is larger than {MAX_ACCOUNTS} bytes");
            return Err(DriverError::new(ErrorKind::FailedPrecondition, "read accounts", message));
        }
        Ok(())
    }

    /// The text; empty where there is no plain file in the archive.
    #[must_use]
    pub fn text(&self) -> String {
        first_member(&self.0).unwrap_or_default()
    }
}

/// A directory as an archive of it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Directory {
    /// Its permissions.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
    /// Whether nothing is in it.
    pub empty: bool,
}

impl Directory {
    /// How much of an archive is enough.
    pub const TOLD_BY: usize = 2 * BLOCK;

    /// The directory that an archive is of; `None` where it is of something else, and where it is written in a way that is
    /// not read here.
    #[must_use]
    pub fn of(archive: &[u8]) -> Option<Self> {
        let (header, next) = archive.get(..Self::TOLD_BY)?.split_at(BLOCK);
        let number = |from: usize, to: usize| {
            let digits = std::str::from_utf8(&header[from..to]).ok()?;
            u32::from_str_radix(digits.trim_matches(['\0', ' ']), 8).ok()
        };
        let owner = Owner { uid: number(108, 116)?, gid: number(116, 124)? };
        let empty = next.iter().all(|byte| *byte == 0);
        (header[156] == b'5').then_some(Self { mode: number(100, 108)? & 0o7777, owner, empty })
    }
}

/// The content of an archive's first plain file.
#[must_use]
pub fn first_member(archive: &[u8]) -> Option<String> {
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
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    /// Adds a directory; where it is there already, its owner and its permissions become these.
    pub fn directory(&mut self, path: &str, mode: u32, owner: Owner) {
        self.header(&format!("{}/", path.trim_start_matches('/')), b'5', mode, owner, 0);
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, owner: Owner, content: &[u8]) {
        self.header(path.trim_start_matches('/'), b'0', mode, owner, content.len() as u64);
        self.content(content);
    }

    /// Adds the token, for `owner` alone. A supervisor reads it and nobody else, so that nobody changes it and others pass by
    /// it to what lies beside it.
    pub fn token(&mut self, token: &str, owner: Owner, supervised: bool) {
        let (directory, file) = if supervised { (0o711, 0o400) } else { (0o700, 0o600) };
        self.directory("/run", 0o755, Owner::default());
        self.directory(TOKEN_DIRECTORY, directory, owner);
        self.file(TOKEN_PATH, file, owner, token.as_bytes());
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

    /// The archive's bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
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
    fn a_directory_is_told_by_an_archive_of_it() {
        let owner = Owner { uid: 1000, gid: 7 };
        let archive = |owner, inside: &[&str]| {
            let mut archive = Archive::default();
            archive.directory("/sandbox", 0o1755, owner);
            inside.iter().for_each(|path| archive.file(path, 0o600, owner, b"x"));
            archive.finish()
        };
        let empty = Directory { mode: 0o1755, owner, empty: true };
        assert_eq!(Directory::of(&archive(owner, &[])), Some(empty));
        let full = archive(owner, &["/sandbox/a"]);
        assert_eq!(Directory::of(&full[..Directory::TOLD_BY]), Some(Directory { empty: false, ..empty }));
        assert_eq!(Directory::of(&full[..Directory::TOLD_BY - 1]), None);
        let mut file = Archive::default();
        file.file("/sandbox", 0o755, owner, b"");
        assert_eq!(Directory::of(&file.finish()), None);
        // A number that takes another way of writing.
        assert_eq!(Directory::of(&archive(Owner { uid: u32::MAX, gid: 0 }, &[])), None);
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
    fn a_user_becomes_numbers() {
        let (users, groups) = ("root:x:0:0:\nsandbox:x:1000:1001:\n", "staff:x:50:\n");
        for (text, uid, gid, needs) in [
            ("", 0, 0, (false, false)),
            ("root", 0, 0, (false, false)),
            ("7", 7, 0, (false, false)),
            ("7:8", 7, 8, (false, false)),
            ("sandbox", 1000, 1001, (true, false)),
            ("sandbox:staff", 1000, 50, (true, true)),
            ("0:staff", 0, 50, (false, true)),
        ] {
            let account = Account::of(text);
            assert_eq!((account.needs_users(), account.needs_groups()), needs, "{text}");
            assert_eq!(account.owner(users, groups).expect(text), Owner { uid, gid }, "{text}");
            let numbers = (needs == (false, false)).then_some(Owner { uid, gid });
            assert_eq!(account.numbers(), numbers, "{text}");
        }
        for (text, said) in
            [("nobody", "no user `nobody` in its /etc/passwd"), ("0:x", "no group `x` in its /etc/group")]
        {
            assert!(Account::of(text).owner(users, groups).expect_err(text).message().contains(said));
        }
    }

    #[test]
    fn an_account_file_has_an_end() {
        let mut file = AccountFile::default();
        assert_eq!(file.text(), "");
        assert!(file.take(USERS, &vec![0; MAX_ACCOUNTS]).is_ok());
        assert!(file.take(USERS, &[0]).expect_err("too large").message().contains("larger than"));
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
