//! Whom a process runs as, by the sandbox's own `/etc/passwd` and `/etc/group`.

use std::{fmt, fs};

/// The largest id, as container engines have it. What is above it is none: -1 means to the kernel that nobody's identity is to change
/// (setresuid(2)), and whoever was to be that user would stay who starts it.
const LARGEST_ID: u32 = u32::MAX / 2;

/// A user, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The main group.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// The home directory; `/` for a user without one.
    pub home: String,
}

/// A name that the sandbox's files do not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownName {
    /// Of a user.
    User(String),
    /// Of a group.
    Group(String),
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "the image has no user `{name}` in its /etc/passwd"),
            Self::Group(name) => write!(f, "the image has no group `{name}` in its /etc/group"),
        }
    }
}

impl std::error::Error for UnknownName {}

/// Resolves `name`, `uid`, `name:group`, `uid:gid`, or nothing for root.
///
/// # Errors
/// A name that is not there. A number needs no entry.
pub fn find(wanted: &str) -> Result<User, UnknownName> {
    // An image without these files has no names, which is no fault until one is asked for.
    let read = |path: &str| {
        fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    };
    resolve(wanted, &read("/etc/passwd"), &read("/etc/group"))
}

/// The rules of container engines: a number needs no entry; a group given explicitly is the only one.
fn resolve(wanted: &str, passwd: &str, group: &str) -> Result<User, UnknownName> {
    let (name, wanted_group) = match wanted.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (wanted, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    let number = id(name);
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| match number {
        Some(number) => fields.get(2).and_then(|uid| id(uid)) == Some(number),
        None => fields.first() == Some(&name),
    });
    let field = |at: usize| entry.as_ref().and_then(|fields| fields.get(at).copied());
    let uid = number.or_else(|| id(field(2)?));
    let uid = uid.ok_or_else(|| UnknownName::User(name.to_owned()))?;
    let gid = match wanted_group {
        Some(wanted) => group_id(wanted, group).ok_or_else(|| UnknownName::Group(wanted.to_owned()))?,
        None => field(3).and_then(id).unwrap_or(0),
    };
    let known_as = field(0);
    let groups = match wanted_group {
        Some(_) => Vec::new(),
        None => groups_of(known_as, group).filter(|extra| *extra != gid).collect(),
    };
    let home = field(5).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
    Ok(User { uid, gid, groups, home })
}

fn group_id(wanted: &str, group: &str) -> Option<u32> {
    id(wanted).or_else(|| {
        let line = group.lines().find(|line| line.split(':').next() == Some(wanted))?;
        id(line.split(':').nth(2)?)
    })
}

/// A number that a user or a group can have.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= LARGEST_ID)
}

/// The groups that name a user among their members.
fn groups_of(user: Option<&str>, group: &str) -> impl Iterator<Item = u32> {
    group.lines().filter_map(move |line| {
        let mut fields = line.split(':');
        let id = id(fields.nth(2)?)?;
        let members = fields.next()?;
        user.is_some_and(|user| members.split(',').any(|member| member == user)).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nsandbox:x:1000:1000::/sandbox:/bin/sh\nhomeless:x:7:7:::\n";
    const GROUP: &str = "root:x:0:\nsandbox:x:1000:\nwheel:x:10:root,sandbox\nvideo:x:44:sandbox\n";

    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
        User { uid, gid, groups: groups.to_vec(), home: home.to_owned() }
    }

    #[test]
    fn every_way_to_name_a_user() {
        for (wanted, expected) in [
            ("", user(0, 0, &[10], "/root")),
            ("root", user(0, 0, &[10], "/root")),
            ("sandbox", user(1000, 1000, &[10, 44], "/sandbox")),
            ("1000", user(1000, 1000, &[10, 44], "/sandbox")),
            ("sandbox:wheel", user(1000, 10, &[], "/sandbox")),
            ("1000:5000", user(1000, 5000, &[], "/sandbox")),
            ("sandbox:", user(1000, 1000, &[10, 44], "/sandbox")),
            ("4711", user(4711, 0, &[], "/")),
            ("4711:video", user(4711, 44, &[], "/")),
            (":video", user(0, 44, &[], "/root")),
            ("homeless", user(7, 7, &[], "/")),
        ] {
            assert_eq!(resolve(wanted, PASSWD, GROUP), Ok(expected), "{wanted}");
        }
    }

    #[test]
    fn who_is_not_there_is_named() {
        let refused = |wanted: &str| resolve(wanted, PASSWD, GROUP).expect_err("unknown").to_string();
        assert_eq!(refused("nobody"), "the image has no user `nobody` in its /etc/passwd");
        assert_eq!(refused("root:nogroup"), "the image has no group `nogroup` in its /etc/group");
        // Numbers that mean something else to the kernel are nobody's.
        assert_eq!(refused("4294967295"), "the image has no user `4294967295` in its /etc/passwd");
        assert_eq!(refused("1000:4294967295"), "the image has no group `4294967295` in its /etc/group");
        let odd = "odd:x:4294967295:1::/:/bin/sh\n";
        assert_eq!(resolve("odd", odd, GROUP), Err(UnknownName::User("odd".to_owned())));
    }
}
