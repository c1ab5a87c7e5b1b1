//! Gateways by name: what `openshell gateway add` keeps, in files that other clients read too.
//!
//! ```text
//!   $XDG_CONFIG_HOME/openshell/          0700
//!   ├── active_gateway                   the name of the selected one
//!   └── gateways/<name>/
//!       ├── metadata.json                {"name", "gateway_endpoint", "auth_mode", …}
//!       ├── token                        0600, a bearer token
//!       └── mtls/{ca.crt, tls.crt, tls.key}
//! ```
//!
//! The layout is the one that the Python package `openshell` reads (`SandboxClient.from_active_cluster`). Keys of the
//! metadata that this program does not know are kept.

mod store;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::store::{NewContext, Store, StoreError};
use crate::endpoint::{Endpoint, NoEndpoint};

/// `auth_mode` of a gateway that asks for nothing, or for what the Unix socket shows.
pub(crate) const NO_AUTH: &str = "none";
/// `auth_mode` of a gateway that asks for a bearer token.
pub(crate) const TOKEN_AUTH: &str = "token";
/// `auth_mode` of a gateway that asks for a client certificate.
pub(crate) const MTLS_AUTH: &str = "mtls";

/// `metadata.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metadata {
    /// The directory's name again.
    #[serde(default)]
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) gateway_endpoint: String,
    /// How it is told who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth_mode: Option<String>,
    /// The workspace for commands that name none; a key of this program's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) workspace: Option<String>,
    /// What others keep here.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// A gateway that has a name.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Its name, which is its directory's.
    pub(crate) name: String,
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// What is known of it.
    pub(crate) metadata: Metadata,
}

impl Context {
    /// Where it listens.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, NoEndpoint> {
        self.metadata.gateway_endpoint.parse()
    }

    /// How it is told who asks.
    pub(crate) fn auth_mode(&self) -> &str {
        self.metadata.auth_mode.as_deref().unwrap_or(NO_AUTH)
    }

    /// The file of its token. The mode decides, not the file: a token that was left behind is not sent.
    pub(crate) fn token(&self) -> Option<PathBuf> {
        (self.auth_mode() == TOKEN_AUTH).then(|| self.dir.join("token"))
    }

    /// The file of the certificates that vouch for it, when it has its own.
    pub(crate) fn ca(&self) -> Option<PathBuf> {
        self.file("ca.crt")
    }

    /// The files of the client's certificate and key, when it has both.
    pub(crate) fn identity(&self) -> Option<(PathBuf, PathBuf)> {
        Some((self.file("tls.crt")?, self.file("tls.key")?))
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.dir.join("mtls").join(name)).filter(|path: &PathBuf| Path::is_file(path))
    }
}
