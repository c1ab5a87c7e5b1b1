//! `[openshell.gateway.tls]`: the certificate of the TCP listener, and whose certificates it asks for.

use std::path::PathBuf;

use super::problem::{Location, Problem};
use super::section::Section;
use super::value::Role;

/// What the table says, whole: a key without the one that it needs is a fault of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// `cert_path`: the gateway's chain, PEM.
    pub cert_path: PathBuf,
    /// `key_path`: its key, PEM.
    pub key_path: PathBuf,
    /// Whose certificates are asked for; `None`: nobody's.
    pub clients: Option<ClientCertificates>,
}

/// Clients that show a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// `client_ca_path`: who signs them, PEM.
    pub ca_path: PathBuf,
    /// `client_certificates`: whether somebody without one gets no connection.
    pub required: bool,
    /// `client_role`: what somebody may do whose certificate no identity names; `None`: nothing.
    pub role: Option<Role>,
}

/// What a certificate may do that no identity names, unless told otherwise.
const CLIENT_ROLE: Role = Role::Use;

/// Reads the table, which stands at `at`.
pub(super) fn read(mut section: Section<'_, '_>, at: &Location) -> Option<TlsSettings> {
    let cert_path = section.path("cert_path");
    let key_path = section.path("key_path");
    let ca_path = section.path("client_ca_path");
    let required = section.parsed("client_certificates", |text| match text {
        "required" => Ok(true),
        "optional" => Ok(false),
        _ => Err("expected `required` or `optional`".to_owned()),
    });
    let role = section.parsed("client_role", |text| match text {
        "none" => Ok(None),
        _ => {
            text.parse().map(Some).map_err(|_: String| "expected `read`, `use`, `admin` or `none`".to_owned())
        }
    });
    let has = |key: &str| section.place(key);
    let mut faults = Vec::new();
    // A path that is there and wrong has its fault already.
    match (has("cert_path"), has("key_path")) {
        (Some(_), Some(_)) => {}
        (Some(at), None) => faults.push(
            Problem::at(at, "`cert_path` is there, and `key_path` is not")
                .hint("give the certificate's key, too"),
        ),
        (None, Some(at)) => faults.push(
            Problem::at(at, "`key_path` is there, and `cert_path` is not")
                .hint("give the key's certificate, too"),
        ),
        (None, None) => faults.push(
            Problem::at(at.clone(), "`[openshell.gateway.tls]` needs `cert_path` and `key_path`")
                .hint("openshell-gateway generate-certs --dir DIR --host NAME"),
        ),
    }
    if has("client_ca_path").is_none() {
        for key in ["client_certificates", "client_role"] {
            if let Some(at) = has(key) {
                let message =
                    format!("`{key}` means nothing without `client_ca_path`, which says whose certificates");
                faults.push(Problem::at(at, message).hint("client_ca_path = \"/path/to/ca.crt\""));
            }
        }
    }
    for fault in faults {
        section.refuse(fault);
    }
    section.finish(|_| None);
    let clients = ca_path.map(|ca_path| ClientCertificates {
        ca_path,
        required: required.unwrap_or(true),
        role: role.unwrap_or(Some(CLIENT_ROLE)),
    });
    Some(TlsSettings { cert_path: cert_path?, key_path: key_path?, clients })
}
