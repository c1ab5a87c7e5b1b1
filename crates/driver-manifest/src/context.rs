//! What the reader is told besides the text: the manifest's role, and facts of the workspace that the caller looked up.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Assembly;

/// The version of the driver API that this toolchain speaks: a driver's crate says it under
/// `[package.metadata.openshell-driver]`.
pub const DRIVER_API: &str = "1";

/// What the reader knows besides the text. The default is: the main manifest, and no fact known, so that only what
/// the text itself says is checked.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// What the text is.
    pub role: Role,
    /// The packages of the workspace by name; `None`: not known, and nothing is checked against them.
    pub packages: Option<BTreeMap<String, PackageFacts>>,
    /// What is known of crates outside of the workspace that a driver of the kind `crate` names.
    pub foreign: BTreeMap<String, PackageFacts>,
    /// The names in Cargo.lock; `None`: not known.
    pub locked: Option<BTreeSet<String>>,
}

/// What a manifest is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Role {
    /// The project's own `drivers.toml`: its order is the order of its entries.
    #[default]
    Main,
    /// An overlay that is complete in itself.
    Overlay,
    /// An overlay whose entries join those of another manifest.
    OverlayOn(Box<Assembly>),
}

/// What a package's Cargo.toml says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageFacts {
    /// `api` under `[package.metadata.openshell-driver]`.
    pub driver_api: Option<String>,
    /// Its features; `None`: not known.
    pub features: Option<BTreeSet<String>>,
}

impl Context {
    /// The context of an overlay that is complete in itself.
    #[must_use]
    pub fn overlay() -> Self {
        Self { role: Role::Overlay, ..Self::default() }
    }

    /// The context of an overlay whose entries join those of `base`.
    #[must_use]
    pub fn overlay_on(base: Assembly) -> Self {
        Self { role: Role::OverlayOn(Box::new(base)), ..Self::default() }
    }

    pub(crate) fn is_overlay(&self) -> bool {
        self.role != Role::Main
    }

    pub(crate) fn base(&self) -> Option<&Assembly> {
        match &self.role {
            Role::OverlayOn(base) => Some(base),
            Role::Main | Role::Overlay => None,
        }
    }
}
