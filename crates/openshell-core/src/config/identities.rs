//! `[openshell.gateway.identities.<name>]`: who may do what besides the gateway's own user, and how they are known.

use std::path::PathBuf;

use toml::de::DeTable;

use super::limits::{self, RateSettings};
use super::problem::{Location, Problem};
use super::section::{Section, entries};
use super::source::SourceText;
use super::value::{self, Role};

/// Names that are the gateway's own.
const RESERVED: [&str; 4] = ["owner", "token", "anonymous", "certificate"];
/// The longest name; it becomes a label of metrics.
const LONGEST_NAME: usize = 63;

/// Somebody who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySettings {
    /// The name, for logs and metrics.
    pub name: String,
    /// Where the table is.
    pub at: Location,
    /// What they may do.
    pub role: Role,
    /// Known by the token in this file.
    pub token_path: Option<PathBuf>,
    /// Known by a certificate of the client CA with this DNS name.
    pub certificate_name: Option<String>,
    /// Known by the certificate of the client CA with this SHA-256.
    pub certificate_sha256: Option<[u8; 32]>,
    /// Known by the user id at the other end of the Unix socket.
    pub uids: Vec<u32>,
    /// How fast they may ask.
    pub rate: RateSettings,
}

impl IdentitySettings {
    /// Whether only a client's certificate can prove them.
    fn needs_certificates(&self) -> bool {
        self.certificate_name.is_some() || self.certificate_sha256.is_some()
    }

    fn is_known_by_nothing(&self) -> bool {
        self.token_path.is_none() && !self.needs_certificates() && self.uids.is_empty()
    }
}

/// Reads the tables. `rate` is that of who has none of their own; `client_ca` says whether certificates are asked for.
pub(super) fn read(
    source: &SourceText,
    tables: &DeTable<'_>,
    rate: RateSettings,
    client_ca: bool,
    problems: &mut Vec<Problem>,
) -> Vec<IdentitySettings> {
    let mut identities: Vec<IdentitySettings> = Vec::new();
    for (name, span, found) in entries(tables) {
        let at = source.locate(&span);
        if let Some(problem) = wrong_name(name, &at) {
            problems.push(problem);
        }
        let Some(table) = found.get_ref().as_table() else {
            let message = format!(
                "`{}` has to be a table, `[openshell.gateway.identities.<name>]`",
                value::shown(name)
            );
            problems.push(Problem::at(at, message));
            continue;
        };
        let section = Section::new(source, format!("openshell.gateway.identities.{name}"), table, problems);
        let Some(identity) = one(section, name, at.clone(), rate) else { continue };
        if identity.needs_certificates() && !client_ca {
            let message = format!("the identity `{name}` is known by a certificate, and none is asked for");
            problems.push(
                Problem::at(at, message)
                    .hint("give `client_ca_path` in `[openshell.gateway.tls]`, who signs it"),
            );
        }
        problems.extend(identities.iter().flat_map(|other| in_common(other, &identity)));
        identities.push(identity);
    }
    identities
}

fn one(
    mut section: Section<'_, '_>,
    name: &str,
    at: Location,
    preset: RateSettings,
) -> Option<IdentitySettings> {
    let role = section.parsed("role", str::parse);
    let read = IdentitySettings {
        name: name.to_owned(),
        at: at.clone(),
        role: role.unwrap_or(Role::Read),
        token_path: section.path("token_path"),
        certificate_name: section.parsed("certificate_name", value::dns_name),
        certificate_sha256: section.parsed("certificate_sha256", value::sha256),
        uids: section.integers("uids", "a list of user ids"),
        rate: limits::rate(&mut section, preset),
    };
    let there = |key: &str| section.place(key).is_some();
    let mut faults = Vec::new();
    if !there("role") {
        faults.push(
            Problem::at(at.clone(), format!("the identity `{}` has no `role`", value::shown(name)))
                .hint("role = \"read\", \"use\" or \"admin\""),
        );
    }
    let means = ["token_path", "certificate_name", "certificate_sha256", "uids"];
    // One that is there and wrong has its fault already; an empty list of user ids has not.
    let some_is_there = means[..3].iter().any(|key| there(key));
    if read.is_known_by_nothing() && !some_is_there {
        let message = format!("there is nothing to know the identity `{}` by", value::shown(name));
        faults.push(
            Problem::at(at, message).hint(format!("give one or more of {}", crate::suggest::quoted(means))),
        );
    }
    for fault in faults {
        section.refuse(fault);
    }
    section.finish(|key| {
        (key == "token").then(|| {
            "a token is never in the file: put it into a file of its own, mode 0600, and give `token_path`".to_owned()
        })
    });
    role.map(|_| read)
}

fn wrong_name(name: &str, at: &Location) -> Option<Problem> {
    let shown = value::shown(name);
    if RESERVED.contains(&name) {
        let message = format!("the identity `{shown}` is the gateway's own");
        return Some(Problem::at(at.clone(), message).hint("choose another name"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let well_formed = (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(fits);
    (!well_formed).then(|| {
        Problem::at(at.clone(), format!("`{shown}` cannot be the name of an identity"))
            .hint("a name has 1 to 63 letters, digits, `-`, `_` and `.`")
    })
}

/// What two identities share, so that nobody could say which of them somebody is.
fn in_common(first: &IdentitySettings, second: &IdentitySettings) -> Vec<Problem> {
    let mut shared = Vec::new();
    if let (Some(path), true) = (&first.token_path, first.token_path == second.token_path) {
        shared.push(format!("the token `{}`", path.display()));
    }
    if let (Some(name), true) = (&first.certificate_name, first.certificate_name == second.certificate_name) {
        shared.push(format!("the certificate name `{name}`"));
    }
    if first.certificate_sha256.is_some() && first.certificate_sha256 == second.certificate_sha256 {
        shared.push("one `certificate_sha256`".to_owned());
    }
    shared.extend(
        first.uids.iter().filter(|uid| second.uids.contains(uid)).map(|uid| format!("the uid {uid}")),
    );
    let (one, other) = (&first.name, &second.name);
    shared
        .into_iter()
        .map(|what| {
            let message = format!("the identities `{one}` and `{other}` share {what}: it could be either");
            Problem::at(second.at.clone(), message)
        })
        .collect()
}
