//! The model: a list of drivers that cannot be wrong. What a reader of `drivers.toml` hands to everybody else.

use std::collections::BTreeMap;

/// Everything that `drivers.toml` says, checked: names are unique and known, the order is final.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assembly {
    /// The drivers in their final order, which is the auto-detect order.
    pub drivers: Vec<Driver>,
    /// What the gateway of the default features, its options among them, may cost; it has no shares.
    pub budget: Budget,
    /// Switches that are not drivers, in the order of the file.
    pub options: Vec<OptionSwitch>,
    /// Named selections, in the order of the file.
    pub presets: Vec<Preset>,
}

/// One `[[driver]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// The kind that a user names; unique, `[a-z][a-z0-9-]*`.
    pub name: String,
    /// One line for lists and errors.
    pub summary: String,
    /// For the tables of the documentation.
    pub docs: Docs,
    /// How its code and the gateway meet.
    pub kind: Kind,
    /// In the default features.
    pub default: bool,
    /// Has a probe and takes part in auto-detection.
    pub detect: bool,
    /// `cfg` words (`linux`, `unix`, `target_arch = "x86_64"` …) one of which has to hold; empty means everywhere.
    /// Pairs are spelled with one space on either side of `=`; [`platform_cfg`](crate::platform_cfg) gives the
    /// predicate of a word.
    pub platforms: Vec<String>,
    /// Crates that only this driver may bring in, by any path.
    pub owns: Vec<String>,
    /// Packages of the workspace whose one program, named as the package, runs inside the driver's sandboxes. A build
    /// links them static and leaves them beside whatever holds the driver.
    pub guest: Vec<String>,
    /// Texts that betray the driver in a binary.
    pub evidence: Vec<String>,
    /// What a selection of this driver may cost.
    pub budget: Budget,
}

/// What the documentation's tables say of a driver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Docs {
    /// Where its sandboxes run.
    pub runs: String,
    /// What separates them from the host.
    pub boundary: String,
}

/// How a driver's code and the gateway meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A crate of this workspace, compiled in.
    InTree {
        /// The crate.
        package: String,
    },
    /// A program of this workspace; the gateway holds what starts and dials it.
    Process {
        /// The crate of the program.
        package: String,
        /// Whether it puts the gateway's supervisor into its sandboxes. A driver in process says so itself.
        supervisor: bool,
    },
    /// Somebody else's program behind a socket.
    Socket {
        /// Where it listens; `None`: the operator says so.
        path: Option<String>,
    },
    /// Somebody else's crate, compiled in.
    Crate {
        /// The crate.
        package: String,
        /// Where cargo finds it.
        source: CrateSource,
    },
}

/// Where cargo finds a foreign driver's crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CrateSource {
    /// A directory, relative to the manifest.
    Path(String),
    /// A version requirement of the registry.
    Registry(String),
    /// A commit of a git repository; in overlays only.
    Git {
        /// The repository.
        url: String,
        /// The full commit id.
        rev: String,
    },
}

/// What a gateway may cost: of a driver's, the one with this driver alone and no option. Unset means no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Crates in its graph, the workspace's own among them.
    pub crates: Option<u64>,
    /// Bytes of its file in the release profile.
    pub bytes: Option<u64>,
    /// Crates in percent of those of the gateway with every driver.
    pub crates_percent: Option<u64>,
    /// Bytes in percent of those of the gateway with every driver, with the same options.
    pub bytes_percent: Option<u64>,
}

/// One `[option.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSwitch {
    /// The feature's name as well.
    pub name: String,
    /// One line for lists.
    pub summary: String,
    /// Features of our crates that it turns on, as `package/feature`.
    pub features: Vec<String>,
    /// The variable that says whether code that is there acts.
    pub env: Option<String>,
    /// In the default features.
    pub default: bool,
    /// Crates that only this option may bring in.
    pub owns: Vec<String>,
    /// Texts that betray it in a binary.
    pub evidence: Vec<String>,
}

/// One `[preset.<name>]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: String,
    /// Drivers in the order of the manifest.
    pub drivers: Vec<String>,
    /// Options switched from their defaults: name to on or off (`"telemetry"`, `"-telemetry"` in the file).
    pub options: BTreeMap<String, bool>,
}

/// The name of the one entry that stands for any driver behind a socket.
pub const EXTERNAL: &str = "external";

impl Driver {
    /// The cargo feature of this driver: `driver-<name>`.
    #[must_use]
    pub fn feature(&self) -> String {
        format!("driver-{}", self.name)
    }

    /// The crate, for the kinds that have one.
    #[must_use]
    pub fn package(&self) -> Option<&str> {
        match &self.kind {
            Kind::InTree { package } | Kind::Process { package, .. } | Kind::Crate { package, .. } => {
                Some(package)
            }
            Kind::Socket { .. } => None,
        }
    }

    /// The driver as a program, for the kinds that have a crate: `openshell-driver-<name>`.
    #[must_use]
    pub fn program(&self) -> Option<String> {
        self.package().map(|_| format!("openshell-driver-{}", self.name))
    }
}

impl Kind {
    /// The word of the manifest: `in-tree`, `process`, `socket` or `crate`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::InTree { .. } => "in-tree",
            Self::Process { .. } => "process",
            Self::Socket { .. } => "socket",
            Self::Crate { .. } => "crate",
        }
    }
}

impl Assembly {
    /// The driver of that name.
    #[must_use]
    pub fn driver(&self, name: &str) -> Option<&Driver> {
        self.drivers.iter().find(|driver| driver.name == name)
    }

    /// The option of that name.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&OptionSwitch> {
        self.options.iter().find(|option| option.name == name)
    }

    /// The preset of that name.
    #[must_use]
    pub fn preset(&self, name: &str) -> Option<&Preset> {
        self.presets.iter().find(|preset| preset.name == name)
    }
}
