//! Which driver runs: a pure function of what the build has, what was asked for and what the probes found.
//!
//! Sources are a flag, a variable and `gateway.toml`, in this order. Only the first that says anything about drivers,
//! a name or a socket, decides; the ones below it are mentioned in the notes when they said something else.
//!
//! | the first source that says anything gives | what runs |
//! | --- | --- |
//! | a socket | `external:<path>` |
//! | a socket and one name | the name, behind the socket |
//! | one name, with a socket of its own (its table's `driver_socket`, or the manifest's) | the name, behind that socket |
//! | one name, compiled in | the name |
//! | several names | an error |
//! | (no source says anything) | the first driver, in the manifest's order, whose probe found its backend |

mod error;
mod name;
mod sources;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use crate::catalog::{Arm, Catalog, DriverEntry, EXTERNAL};
use crate::config::value;
use crate::detect::Probes;
use crate::suggest;

pub use error::{MissingDriver, NothingDetected, SelectionError};
pub(crate) use name::is_well_formed;
pub use name::{DriverName, NameError};
pub use sources::{Source, Sources, Wish};

/// What asked for a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A name.
    Named(Source),
    /// A socket, by this flag, variable or key.
    Socket(String),
}

/// How the chosen driver is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// By the arm of this build: its crate, or a program that the gateway starts.
    CompiledIn,
    /// By dialling this socket.
    Socket {
        /// Where.
        path: PathBuf,
    },
}

/// Why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// Somebody said so.
    Configured {
        /// Who.
        source: Source,
    },
    /// Its backend was found.
    Detected {
        /// By what.
        because: String,
    },
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured { source: Source::Flag } => f.write_str("the command line says so"),
            Self::Configured { source: Source::Variable } => f.write_str("the environment says so"),
            Self::Configured { source: Source::File } => f.write_str("gateway.toml says so"),
            Self::Detected { because } => write!(f, "detected: {because}"),
        }
    }
}

/// The driver that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Its name, by which everything is routed.
    pub name: DriverName,
    /// How it is reached.
    pub how: How,
    /// Why it was chosen.
    pub because: Because,
    /// What was said and does not count, a sentence each, for the log.
    pub notes: Vec<String>,
}

/// Decides which driver runs. `probes` count only when [`Sources::needs_detection`].
///
/// # Errors
/// Why none can.
pub fn select(catalog: &Catalog, sources: &Sources, probes: &Probes) -> Result<Selection, SelectionError> {
    let Some(source) = sources.first() else { return detected(catalog, sources, probes) };
    let wish = sources.of(source);
    let (name, given) = read(source, wish)?;
    let mut notes = lower(sources, source, given.is_some());
    let because = Because::Configured { source };
    let choice = Choice { catalog, sources, source };
    let (name, how) = match (name, given) {
        (None, Some(path)) => {
            choice.behind_socket(DriverName::ExternalAt(path.clone()), path, source.socket_key())?
        }
        (Some(name), Some(path)) => {
            if let Some(own) = sources.sockets.get(&name).filter(|own| **own != path) {
                let stronger = source.socket_key();
                notes.push(format!(
                    "`driver_socket` of `{name}` (`{}`) is ignored: {stronger} gives another",
                    own.display()
                ));
            }
            let name =
                if name == EXTERNAL { DriverName::ExternalAt(path.clone()) } else { DriverName::Named(name) };
            choice.behind_socket(name, path, source.socket_key())?
        }
        (Some(name), None) => choice.named(&name)?,
        (None, None) => return detected(catalog, sources, probes),
    };
    notes.extend(although_compiled_in(catalog, &name, &how));
    Ok(Selection { name, how, because, notes })
}

/// A note for a driver that is in this build and runs behind a socket.
fn although_compiled_in(catalog: &Catalog, name: &DriverName, how: &How) -> Option<String> {
    let (DriverName::Named(name), How::Socket { path }) = (name, how) else { return None };
    let linked = matches!((catalog.arm)(name), Some(Arm::Crate { .. } | Arm::Process { .. }));
    linked.then(|| {
        format!("`{name}` is in this build, and runs behind the socket `{}` all the same", path.display())
    })
}

/// One source's name and socket, where `external:PATH` counts as the socket.
fn read(source: Source, wish: &Wish) -> Result<(Option<String>, Option<PathBuf>), SelectionError> {
    if wish.socket.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        return Err(SelectionError::EmptySocket(source));
    }
    let given = wish.socket.clone();
    match wish.drivers.as_slice() {
        [] => Ok((None, given)),
        [one] => {
            let name = DriverName::parse(one)
                .map_err(|problem| SelectionError::BadName { origin: source, problem })?;
            match (name, given) {
                (DriverName::Named(name), given) => Ok((Some(name), given)),
                (DriverName::ExternalAt(named), Some(given)) if named != given => {
                    Err(SelectionError::TwoSockets { origin: source, named, given })
                }
                (DriverName::ExternalAt(named), _) => Ok((None, Some(named))),
            }
        }
        several => Err(SelectionError::Several { origin: source, names: several.to_vec() }),
    }
}

/// What the sources below the deciding one said that does not count because of a socket.
fn lower(sources: &Sources, deciding: Source, has_socket: bool) -> Vec<String> {
    let mut notes = Vec::new();
    for source in Source::ALL.into_iter().filter(|source| *source > deciding) {
        let wish = sources.of(source);
        let as_name = |name: &String| matches!(DriverName::parse(name), Ok(DriverName::ExternalAt(_)));
        let names = !wish.drivers.is_empty();
        let socket_as_name = wish.drivers.iter().any(as_name);
        if has_socket && names {
            notes.push(format!(
                "{} ({}) is skipped: {} gives the socket of a driver",
                source.names_key(),
                suggest::quoted(&wish.drivers),
                socket_of(sources, deciding)
            ));
        } else if names && socket_as_name {
            notes.push(format!(
                "{} ({}) is ignored: {} names the driver",
                source.names_key(),
                suggest::quoted(&wish.drivers),
                deciding.names_key()
            ));
        }
        if let Some(path) = &wish.socket {
            let stronger = if has_socket {
                format!("{} gives the socket of a driver", socket_of(sources, deciding))
            } else {
                format!("{} names the driver", deciding.names_key())
            };
            notes.push(format!("{} (`{}`) is ignored: {stronger}", source.socket_key(), path.display()));
        }
    }
    notes
}

/// What gave the deciding socket: its own key, or the name that holds it.
fn socket_of(sources: &Sources, source: Source) -> &'static str {
    if sources.of(source).socket.is_some() { source.socket_key() } else { source.names_key() }
}

/// A choice being made.
struct Choice<'a> {
    catalog: &'a Catalog,
    sources: &'a Sources,
    source: Source,
}

impl Choice<'_> {
    /// A driver behind a socket that a source gives.
    fn behind_socket(
        &self,
        name: DriverName,
        path: PathBuf,
        key: &str,
    ) -> Result<(DriverName, How), SelectionError> {
        if let DriverName::Named(written) = &name
            && self.catalog.entry(written).is_none()
            && !is_well_formed(written)
        {
            return Err(SelectionError::MalformedName { name: written.clone() });
        }
        if !self.catalog.has_external() {
            return Err(self.missing(EXTERNAL, Wanted::Socket(key.to_owned())));
        }
        Ok((name, How::Socket { path }))
    }

    /// A driver that is named and nothing else.
    fn named(&self, name: &str) -> Result<(DriverName, How), SelectionError> {
        if let Some(path) = self.sources.sockets.get(name) {
            let key = format!("`driver_socket` in `[openshell.drivers.{name}]`");
            let resolved = if name == EXTERNAL {
                DriverName::ExternalAt(path.clone())
            } else {
                DriverName::Named(name.to_owned())
            };
            return self.behind_socket(resolved, path.clone(), &key);
        }
        let Some(entry) = self.catalog.entry(name) else { return Err(self.unknown(name)) };
        if !entry.platform_ok {
            return Err(SelectionError::WrongPlatform {
                name: name.to_owned(),
                platforms: entry.platforms.iter().map(|word| (*word).to_owned()).collect(),
                external: self.catalog.has_external(),
            });
        }
        match ((self.catalog.arm)(name), entry.socket) {
            (None, _) => Err(self.missing(name, Wanted::Named(self.source))),
            (Some(Arm::Socket { .. }), None) => {
                Err(SelectionError::SocketMissing { name: name.to_owned(), ignored: self.ignored_socket() })
            }
            (Some(Arm::Socket { .. }), Some(path)) => {
                Ok((DriverName::Named(name.to_owned()), How::Socket { path: PathBuf::from(path) }))
            }
            (Some(Arm::Crate { .. } | Arm::Process { .. }), _) => {
                Ok((DriverName::Named(name.to_owned()), How::CompiledIn))
            }
        }
    }

    /// A socket that a source below the deciding one gives.
    fn ignored_socket(&self) -> Option<(Source, PathBuf)> {
        let below = Source::ALL.into_iter().filter(|source| *source > self.source);
        below.filter_map(|source| Some((source, self.sources.of(source).socket.clone()?))).next()
    }

    fn unknown(&self, name: &str) -> SelectionError {
        let mut all: Vec<&str> = self.catalog.drivers.iter().map(|entry| entry.name).collect();
        all.extend(
            self.sources.sockets.keys().map(String::as_str).filter(|name| self.catalog.entry(name).is_none()),
        );
        SelectionError::NoSuchDriver {
            name: value::shown(name),
            origin: self.source,
            nearest: suggest::nearest(name, all.iter().copied()).map(str::to_owned),
            all: all.into_iter().map(str::to_owned).collect(),
        }
    }

    fn missing(&self, name: &str, wanted: Wanted) -> SelectionError {
        let entry = self.catalog.entry(name);
        let in_build = |entry: &&DriverEntry| entry.name == name || self.catalog.is_compiled_in(entry.name);
        SelectionError::NotCompiledIn(Box::new(MissingDriver {
            name: name.to_owned(),
            wanted,
            feature: entry.map_or_else(|| format!("driver-{name}"), |entry| entry.feature.to_owned()),
            have: self.catalog.compiled_in().map(|entry| entry.name.to_owned()).collect(),
            build: self.catalog.drivers.iter().filter(in_build).map(|entry| entry.name.to_owned()).collect(),
            program: entry.and_then(|entry| entry.program).map(str::to_owned),
            external: self.catalog.has_external(),
        }))
    }
}

/// The first driver whose backend was found, behind its socket when its table gives one.
fn detected(catalog: &Catalog, sources: &Sources, probes: &Probes) -> Result<Selection, SelectionError> {
    if let Some((name, because)) = probes.winner() {
        // Only the file can say more of a driver that nobody named.
        let (name, how) = Choice { catalog, sources, source: Source::File }.named(name)?;
        let notes = although_compiled_in(catalog, &name, &how).into_iter().collect();
        return Ok(Selection {
            name,
            how,
            because: Because::Detected { because: because.to_owned() },
            notes,
        });
    }
    let example =
        catalog.compiled_in().find(|entry| entry.kind != "socket").map(|entry| entry.name.to_owned());
    Err(SelectionError::NothingDetected(NothingDetected {
        probes: probes.clone(),
        example,
        external: catalog.has_external(),
    }))
}
