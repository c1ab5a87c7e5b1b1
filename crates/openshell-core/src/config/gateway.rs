//! `[openshell.gateway]`: the settings of the gateway itself.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::endpoint::{self, SandboxEndpoint};
use super::identities::{self, IdentitySettings};
use super::limits::{self, LimitSettings};
use super::problem::{Location, Placed, Problem};
use super::section::Section;
use super::source::SourceText;
use super::tls::{self, TlsSettings};
use super::value::{self, LogFormat, LogLevel};
use crate::identity::GatewayId;

/// What the file says of the gateway; what it does not say is `None`, and a variable or a flag still comes before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewaySection {
    /// `compute_drivers`.
    pub compute_drivers: Vec<String>,
    /// Where that is.
    pub compute_drivers_at: Option<Location>,
    /// `compute_driver_socket`.
    pub compute_driver_socket: Option<PathBuf>,
    /// Where that is.
    pub compute_driver_socket_at: Option<Location>,
    /// `tcp`.
    pub tcp: Option<bool>,
    /// `bind_address`.
    pub bind_address: Option<Placed<IpAddr>>,
    /// `port`.
    pub port: Option<Placed<u16>>,
    /// `allow_unauthenticated`.
    pub allow_unauthenticated: Option<Placed<bool>>,
    /// `token_path`.
    pub token_path: Option<PathBuf>,
    /// `health_address`.
    pub health_address: Option<Placed<SocketAddr>>,
    /// `sandbox_bind_address`.
    pub sandbox_bind_address: Option<Placed<SocketAddr>>,
    /// `sandbox_endpoint`.
    pub sandbox_endpoint: Option<Placed<SandboxEndpoint>>,
    /// `[openshell.gateway.tls]`.
    pub tls: Option<Placed<TlsSettings>>,
    /// `[openshell.gateway.limits]`.
    pub limits: LimitSettings,
    /// `[openshell.gateway.identities.<name>]`, in the order of the file.
    pub identities: Vec<IdentitySettings>,
    /// `listen_socket`.
    pub listen_socket: Option<PathBuf>,
    /// `gateway_id`.
    pub gateway_id: Option<GatewayId>,
    /// `log_level`.
    pub log_level: Option<LogLevel>,
    /// `log_format`.
    pub log_format: Option<LogFormat>,
    /// `supervisor_path`.
    pub supervisor_path: Option<PathBuf>,
    /// `provisioning_timeout`.
    pub provisioning_timeout: Option<Duration>,
    /// The keys of telemetry.
    pub telemetry: TelemetryKeys,
}

/// Where telemetry goes.
#[cfg(feature = "telemetry")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TelemetryKeys {
    /// `telemetry_endpoint`.
    pub endpoint: Option<http::Uri>,
}

/// Keys of telemetry that a build without it met and ignores.
#[cfg(not(feature = "telemetry"))]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TelemetryKeys {
    /// Their names, as the file has them.
    pub ignored: Vec<String>,
}

/// The keys that people put a table too high or too low.
const KEYS: [&str; 19] = [
    "compute_drivers",
    "compute_driver_socket",
    "tcp",
    "bind_address",
    "port",
    "allow_unauthenticated",
    "token_path",
    "health_address",
    "sandbox_bind_address",
    "sandbox_endpoint",
    "tls",
    "limits",
    "identities",
    "listen_socket",
    "gateway_id",
    "supervisor_path",
    "log_level",
    "log_format",
    "provisioning_timeout",
];

/// Where a key belongs that was found outside of `[openshell.gateway]`.
pub(super) fn belongs_here(key: &str) -> Option<String> {
    if key == "db_url" {
        return Some(DB_URL_HINT.to_owned());
    }
    KEYS.contains(&key).then(|| format!("`{key}` belongs into `[openshell.gateway]`"))
}

const DB_URL_HINT: &str = "give it with `--db-url sqlite:PATH` or the variable `OPENSHELL_DB_URL`";

/// Reads the table and those in it.
pub(super) fn read(source: &SourceText, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> GatewaySection {
    let mut section = Section::new(source, "openshell.gateway", table, problems);
    section.refuse_secret("db_url", "`db_url` is never in the file", DB_URL_HINT);
    let mut read = GatewaySection {
        compute_drivers_at: section.place("compute_drivers"),
        compute_drivers: section.texts("compute_drivers"),
        compute_driver_socket_at: section.place("compute_driver_socket"),
        compute_driver_socket: section.path("compute_driver_socket"),
        tcp: section.boolean("tcp"),
        bind_address: section.placed("bind_address", |section, key| section.parsed(key, value::bind_address)),
        port: section.placed("port", |section, key| section.integer(key, "a port number, 0 to 65535")),
        allow_unauthenticated: section.placed("allow_unauthenticated", Section::boolean),
        token_path: section.path("token_path"),
        health_address: section
            .placed("health_address", |section, key| section.parsed(key, value::socket_address)),
        sandbox_bind_address: section
            .placed("sandbox_bind_address", |section, key| section.parsed(key, endpoint::sandbox_address)),
        sandbox_endpoint: section
            .placed("sandbox_endpoint", |section, key| section.parsed(key, endpoint::sandbox_endpoint)),
        tls: None,
        limits: LimitSettings::default(),
        identities: Vec::new(),
        listen_socket: section.path("listen_socket"),
        gateway_id: section.parsed("gateway_id", |text| {
            text.parse().map_err(|_| {
                "expected 1 to 63 letters, digits, `-`, `_` or `.`, with a letter or digit at both ends"
                    .to_owned()
            })
        }),
        log_level: section.parsed("log_level", str::parse),
        log_format: section.parsed("log_format", str::parse),
        supervisor_path: section.path("supervisor_path"),
        provisioning_timeout: section.parsed("provisioning_timeout", value::duration),
        telemetry: telemetry(&mut section),
    };
    let tls = section.placed("tls", Section::table);
    let limits = section.table("limits");
    let identities = section.table("identities");
    section.finish(|key| {
        let driver_key = super::drivers::GATEWAY_KEYS.contains(&key);
        driver_key.then(|| format!("`{key}` belongs into `[openshell.drivers.<name>]`"))
    });

    let client_ca = tls.as_ref().is_some_and(|tls| tls.value.contains_key("client_ca_path"));
    if let Some(Placed { value: table, at }) = tls {
        let section = Section::new(source, "openshell.gateway.tls", table, problems);
        read.tls = tls::read(section, &at).map(|value| Placed { value, at });
    }
    if let Some(table) = limits {
        read.limits = limits::read(Section::new(source, "openshell.gateway.limits", table, problems));
    }
    if let Some(tables) = identities {
        read.identities = identities::read(source, tables, read.limits.rate, client_ca, problems);
    }
    read
}

#[cfg(feature = "telemetry")]
fn telemetry(section: &mut Section<'_, '_>) -> TelemetryKeys {
    TelemetryKeys { endpoint: section.parsed("telemetry_endpoint", value::telemetry_endpoint) }
}

/// A file serves builds with and without telemetry, so its keys are no errors here; and this build holds no text of
/// theirs, so all that begins with the word is taken for one.
#[cfg(not(feature = "telemetry"))]
fn telemetry(section: &mut Section<'_, '_>) -> TelemetryKeys {
    TelemetryKeys { ignored: section.skip_prefix("telemetry_") }
}
