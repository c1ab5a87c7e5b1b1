//! What a build is asked for, resolved against the assembly: the drivers, the options, and the names that follow.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Assembly, Driver, EXTERNAL, Kind};
use crate::nearest::{listed, nearest};

/// What somebody asks for. One of `drivers`, `preset` and `all` says which drivers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Names of drivers, in any order.
    pub drivers: Vec<String>,
    /// The name of a preset.
    pub preset: Option<String>,
    /// Every driver.
    pub all: bool,
    /// Drivers besides those, which may be all there are.
    pub also: Vec<String>,
    /// Options to switch on.
    pub with_options: Vec<String>,
    /// Options to switch off.
    pub without_options: Vec<String>,
}

/// What a build holds; the default is nothing at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The drivers in the order of the manifest, those that others imply among them.
    pub drivers: Vec<String>,
    /// Those of `drivers` that nobody named.
    pub implied: Vec<String>,
    /// The options that are on, in the order of the manifest.
    pub options: Vec<String>,
    /// The options that are not at their default: on or off, in the order of the manifest.
    pub changed: Vec<(String, bool)>,
    /// The programs of its process drivers.
    pub programs: Vec<String>,
    /// What runs inside the sandboxes of its drivers, each package once, in the order of the manifest.
    pub guests: Vec<String>,
}

/// Why a request cannot be had. What to do about it is [`SelectError::hint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// A name that no driver has.
    #[error("no driver is named `{name}`: there are {}", listed(known.iter().map(String::as_str)))]
    UnknownDriver {
        /// The name.
        name: String,
        /// The name that may be meant.
        nearest: Option<String>,
        /// All names, in the order of the manifest.
        known: Vec<String>,
    },
    /// A name that no preset has.
    #[error("no preset is named `{name}`{}", those(known))]
    UnknownPreset {
        /// The name.
        name: String,
        /// The name that may be meant.
        nearest: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// A name that no option has.
    #[error("no option is named `{name}`{}", those(known))]
    UnknownOption {
        /// The name.
        name: String,
        /// The name that may be meant.
        nearest: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// Nothing says which drivers.
    #[error("no driver is selected: there are {}", listed(known.iter().map(String::as_str)))]
    Nothing {
        /// All names, in the order of the manifest.
        known: Vec<String>,
    },
    /// More than one of drivers, preset and all.
    #[error("the drivers are selected in more than one way: {}", ways.join(", "))]
    SeveralWays {
        /// The ways, as flags.
        ways: Vec<&'static str>,
    },
    /// An option that is switched on and off.
    #[error("the option `{name}` is switched on and off")]
    Contradiction {
        /// Its name.
        name: String,
    },
}

fn those(known: &[String]) -> String {
    if known.is_empty() {
        ": the manifest has none".to_owned()
    } else {
        format!(": there are {}", listed(known.iter().map(String::as_str)))
    }
}

impl SelectError {
    /// What to do about it, if there is something to be said.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownDriver { nearest, .. }
            | Self::UnknownPreset { nearest, .. }
            | Self::UnknownOption { nearest, .. } => Some(nearest.as_ref().map_or_else(
                || "`cargo xtask list` shows what there is".to_owned(),
                |nearest| format!("did you mean `{nearest}`?"),
            )),
            Self::Nothing { known } => Some(match known.first() {
                Some(name) => format!("`cargo xtask build --drivers {name}`, or `--preset`, or `--all`"),
                None => "add a `[[driver]]` to drivers.toml".to_owned(),
            }),
            Self::SeveralWays { .. } => Some("keep one of them".to_owned()),
            Self::Contradiction { name } => {
                Some(format!("keep one of `--with-option {name}` and `--without-option {name}`"))
            }
        }
    }
}

impl Assembly {
    /// What a request comes to.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the request.
    pub fn select(&self, request: &Request) -> Result<Selection, Vec<SelectError>> {
        let mut errors = Vec::new();
        let preset = request.preset.as_deref().and_then(|name| {
            let found = self.preset(name);
            if found.is_none() {
                let known = self.presets.iter().map(|preset| preset.name.clone()).collect();
                errors.push(unknown(name, known, |name, nearest, known| SelectError::UnknownPreset {
                    name,
                    nearest,
                    known,
                }));
            }
            found
        });

        let named: Vec<&str> =
            request.drivers.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
        let mut ways = Vec::new();
        ways.extend((!named.is_empty()).then_some("`--drivers`"));
        ways.extend(request.preset.is_some().then_some("`--preset`"));
        ways.extend(request.all.then_some("`--all`"));
        match ways.len() {
            0 if request.also.is_empty() => errors.push(SelectError::Nothing { known: self.names() }),
            0 | 1 => {}
            _ => errors.push(SelectError::SeveralWays { ways }),
        }

        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        for name in named.into_iter().chain(request.also.iter().map(String::as_str)) {
            if self.driver(name).is_some() {
                wanted.insert(name);
            } else {
                errors.push(unknown(name, self.names(), |name, nearest, known| SelectError::UnknownDriver {
                    name,
                    nearest,
                    known,
                }));
            }
        }
        wanted.extend(preset.iter().flat_map(|preset| &preset.drivers).map(String::as_str));
        if request.all {
            wanted.extend(self.drivers.iter().map(|driver| driver.name.as_str()));
        }

        let switched = self.switched(request, preset.map(|preset| &preset.options), &mut errors);
        if errors.is_empty() { Ok(self.selection(&wanted, &switched)) } else { Err(errors) }
    }

    /// The selection of a plain `cargo build`: the default features. Empty when no driver is a default.
    #[must_use]
    pub fn default_selection(&self) -> Selection {
        let wanted =
            self.drivers.iter().filter(|driver| driver.default).map(|driver| driver.name.as_str()).collect();
        self.selection(&wanted, &BTreeMap::new())
    }

    /// Options that the request switches: its own words over the preset's.
    fn switched(
        &self,
        request: &Request,
        preset: Option<&BTreeMap<String, bool>>,
        errors: &mut Vec<SelectError>,
    ) -> BTreeMap<String, bool> {
        let mut switched = preset.cloned().unwrap_or_default();
        let with = request.with_options.iter().map(|name| (name.trim(), true));
        let without = request.without_options.iter().map(|name| (name.trim(), false));
        let mut unknown_names = BTreeSet::new();
        for (name, on) in with.chain(without).filter(|(name, _)| !name.is_empty()) {
            if self.option(name).is_some() {
                switched.insert(name.to_owned(), on);
            } else if unknown_names.insert(name) {
                let known = self.options.iter().map(|option| option.name.clone()).collect();
                errors.push(unknown(name, known, |name, nearest, known| SelectError::UnknownOption {
                    name,
                    nearest,
                    known,
                }));
            }
        }
        let names = |list: &[String]| -> BTreeSet<String> {
            list.iter().map(|name| name.trim().to_owned()).collect()
        };
        for name in names(&request.with_options).intersection(&names(&request.without_options)) {
            if self.option(name).is_some() {
                errors.push(SelectError::Contradiction { name: name.clone() });
            }
        }
        switched
    }

    fn selection(&self, wanted: &BTreeSet<&str>, switched: &BTreeMap<String, bool>) -> Selection {
        let socket = self.drivers.iter().any(|driver| {
            wanted.contains(driver.name.as_str()) && matches!(driver.kind, Kind::Socket { .. })
        });
        // A named socket driver is the external driver with a name and perhaps a path.
        let implied = |name: &str| socket && name == EXTERNAL && !wanted.contains(EXTERNAL);
        let chosen: Vec<_> = self
            .drivers
            .iter()
            .filter(|driver| wanted.contains(driver.name.as_str()) || implied(&driver.name))
            .collect();
        let state = |name: &str, default: bool| switched.get(name).copied().unwrap_or(default);
        Selection {
            drivers: chosen.iter().map(|driver| driver.name.clone()).collect(),
            implied: chosen.iter().map(|driver| driver.name.clone()).filter(|name| implied(name)).collect(),
            options: self
                .options
                .iter()
                .filter(|option| state(&option.name, option.default))
                .map(|option| option.name.clone())
                .collect(),
            changed: self
                .options
                .iter()
                .map(|option| (option, state(&option.name, option.default)))
                .filter(|(option, on)| *on != option.default)
                .map(|(option, on)| (option.name.clone(), on))
                .collect(),
            programs: chosen
                .iter()
                .filter(|driver| matches!(driver.kind, Kind::Process { .. }))
                .filter_map(|driver| driver.program())
                .collect(),
            guests: guests(chosen.iter().copied()),
        }
    }

    /// Every package that is a guest of some driver, each once, in order.
    #[must_use]
    pub fn guests(&self) -> Vec<String> {
        guests(self.drivers.iter())
    }

    /// The names of the drivers, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.drivers.iter().map(|driver| driver.name.clone()).collect()
    }
}

fn unknown(
    name: &str,
    known: Vec<String>,
    make: impl FnOnce(String, Option<String>, Vec<String>) -> SelectError,
) -> SelectError {
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    make(name.to_owned(), nearest, known)
}

/// The guests of drivers: those that several have are built once.
fn guests<'d>(drivers: impl Iterator<Item = &'d Driver>) -> Vec<String> {
    let mut guests: Vec<String> = Vec::new();
    for guest in drivers.flat_map(|driver| &driver.guest) {
        if !guests.contains(guest) {
            guests.push(guest.clone());
        }
    }
    guests
}

impl Selection {
    /// The features of `openshell-server`: those of the drivers in order, then the options that are on.
    #[must_use]
    pub fn features(&self) -> Vec<String> {
        let drivers = self.drivers.iter().map(|name| format!("driver-{name}"));
        drivers.chain(self.options.iter().cloned()).collect()
    }

    /// The directory's name of this selection: the drivers joined by `-`, then changed options as `+x` or `-x`.
    #[must_use]
    pub fn slug(&self) -> String {
        let mut slug = self.drivers.join("-");
        for (name, on) in &self.changed {
            slug.push(if *on { '+' } else { '-' });
            slug.push_str(name);
        }
        slug
    }
}
