//! Credentials for registries: where a user of Podman keeps them, and how a service reads them.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use http::HeaderValue;
use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::credentials::{Access, Accounts, Login, Sources};
use openshell_driver_common::container::image::place;
use openshell_driver_common::container::pull::Fault;
use serde_json::json;

/// Credentials of the file that the operator names, else of the first that Podman's own programs would read.
///
/// Source: `containers-auth.json(5)`, "FILE LOCATION".
pub(super) fn accounts(configured: Option<PathBuf>) -> Accounts {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |below: &str| Some(from("HOME")?.join(below));
    let usual = [
        from("REGISTRY_AUTH_FILE"),
        from("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json")),
        from("XDG_CONFIG_HOME")
            .or_else(|| home(".config"))
            .map(|directory| directory.join("containers/auth.json")),
        from("DOCKER_CONFIG").or_else(|| home(".docker")).map(|directory| directory.join("config.json")),
    ];
    let sources = Sources {
        usual: usual.into_iter().flatten().collect(),
        key: "auth_file_path in [openshell.drivers.podman]",
        nowhere: "none of REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR and HOME says where some are",
    };
    Accounts::new(configured, sources)
}

/// What goes into `X-Registry-Auth`: a map from registries to credentials, so that they are for no other, whatever mirrors
/// or aliases the service knows. In base64 with the letters for URLs.
///
/// Source: `pkg/auth/auth.go` of Podman, "multi-auth header".
///
/// # Errors
/// For a bearer token, which services of Podman take from nobody.
pub(super) fn header(reference: &str, access: &Access) -> Result<Option<HeaderValue>, Fault> {
    let entry = match access.login() {
        None => return Ok(None),
        Some(Login::Password { user, password }) => json!({"username": user, "password": password.expose()}),
        Some(Login::Identity(token)) => json!({"identitytoken": token.expose()}),
        Some(Login::Bearer(_)) => {
            let message = format!(
                "cannot pull `{reference}`: {}, and Podman takes a user and a password or an identity token",
                access.told()
            );
            return Err(Fault::new(ErrorKind::FailedPrecondition, message));
        }
    };
    let (registry, _) = place(reference);
    let text = URL_SAFE.encode(json!({registry: entry}).to_string());
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        let message = format!("cannot pull `{reference}`: its credentials cannot be sent");
        Fault::new(ErrorKind::Internal, message)
    })?;
    // Shown by no Debug.
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(entry: &str, reference: &str) -> Result<Option<HeaderValue>, Fault> {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("auth.json");
        std::fs::write(&path, format!(r#"{{"auths": {{"r:5": {entry}}}}}"#)).expect("a file");
        let access = accounts(Some(path)).of(reference).await.expect("credentials");
        header(reference, &access)
    }

    /// `me:p?~?~~>`: in the base64 of what is sent, this password needs both characters that the alphabet for URLs has
    /// otherwise.
    #[tokio::test]
    async fn credentials_are_for_their_registry_in_the_letters_of_urls() {
        let value =
            sent(r#"{"auth": "bWU6cD9+P35+Pg=="}"#, "r:5/a:1").await.expect("credentials").expect("some");
        assert!(value.is_sensitive());
        let text = String::from_utf8(URL_SAFE.decode(value.as_bytes()).expect("base64")).expect("a text");
        assert_eq!(text, r#"{"r:5":{"password":"p?~?~~>","username":"me"}}"#);
        let value = sent(r#"{"identitytoken": "t"}"#, "r:5/a").await.expect("credentials").expect("some");
        let text = URL_SAFE.decode(value.as_bytes()).expect("base64");
        assert_eq!(text, br#"{"r:5":{"identitytoken":"t"}}"#);
        assert_eq!(sent(r#"{"identitytoken": "t"}"#, "r:6/a").await, Ok(None));
        let fault = sent(r#"{"registrytoken": "s3cret"}"#, "r:5/a").await.expect_err("a bearer token");
        assert!(fault.message.contains("identity token") && !fault.message.contains("s3cret"), "{fault:?}");
    }
}
