//! Why a registry does not give an image, and what to do about it.

use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::pull::{Cause, Fault, classify};
use serde::Deserialize;

/// How much of what is no proper refusal goes into an error.
const MAX_WORDS: usize = 500;

/// A refusal's words: a registry's own are JSON, and whoever stands before it may answer in anything.
///
/// Source: "OCI Distribution Specification", "Error Codes".
pub(super) fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Body>(body) {
        Ok(Body { errors }) if !errors.is_empty() => {
            let errors = errors.iter().map(|One { code, message }| {
                let code = code.to_ascii_lowercase().replace('_', " ");
                if message.is_empty() { code } else { format!("{code}: {message}") }
            });
            errors.collect::<Vec<_>>().join("; ")
        }
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    text.trim().chars().take(MAX_WORDS).flat_map(char::escape_debug).collect()
}

/// An answer that no registry should give.
pub(super) fn broken(reference: &str, registry: &str, problem: &str) -> Fault {
    let message =
        format!("cannot pull `{reference}`: `{registry}` is not as a registry should be: {problem}");
    Fault::new(ErrorKind::FailedPrecondition, message)
}

/// A refusal, or an error on the way. `access` says which credentials there are.
pub(super) fn fault(
    reference: &str,
    registry: &str,
    access: &str,
    status: Option<u16>,
    words: &str,
) -> Fault {
    let said = match status {
        Some(status) if words.is_empty() => format!("it answers with HTTP status {status}"),
        _ => words.to_owned(),
    };
    let fault = |kind, why: &str| Fault::new(kind, format!("cannot pull `{reference}`: {why}; {said}"));
    let ask = || format!("ask it from this host: curl -sSI https://{registry}/v2/");
    // What TLS makes of an answer without it.
    let plain = status.is_none() && words.contains("corrupt message");
    let cause = if plain { Cause::Untrusted } else { classify(status, words, reference) };
    match cause {
        Cause::Absent => fault(ErrorKind::FailedPrecondition, "the registry has no such image")
            .hint("look at the name and the tag"),
        Cause::Denied => fault(
            ErrorKind::PermissionDenied,
            &format!("`{registry}` gives no access, or there is no such image; {access}"),
        )
        .hint("log in as the user that runs the driver, or name a file with credentials: auth_file_path in [openshell.drivers.vm]"),
        Cause::Busy => fault(ErrorKind::Unavailable, &format!("`{registry}` has been asked too often; {access}"))
            .hint("log in for a higher limit"),
        Cause::Untrusted => fault(
            ErrorKind::FailedPrecondition,
            &format!("`{registry}` speaks no TLS, or has a certificate that the host does not trust"),
        )
        .hint(format!(
            "add its CA to the host's certificates, or, for one without TLS: insecure_registries = [\"{registry}\"] in \
             [openshell.drivers.vm]"
        )),
        Cause::Away => fault(ErrorKind::FailedPrecondition, &format!("`{registry}` does not answer")).hint(ask()),
        _ if status.is_none() => {
            fault(ErrorKind::FailedPrecondition, &format!("`{registry}` cannot be asked")).hint(ask())
        }
        _ => fault(ErrorKind::FailedPrecondition, &format!("`{registry}` refuses")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals() {
        let unknown = words(br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#);
        for (status, said, kind, part) in [
            (Some(404), unknown.as_str(), ErrorKind::FailedPrecondition, "has no such image"),
            (Some(401), "", ErrorKind::PermissionDenied, "it answers with HTTP status 401"),
            (Some(429), "", ErrorKind::Unavailable, "asked too often"),
            (
                None,
                "client error: invalid peer certificate: UnknownIssuer",
                ErrorKind::FailedPrecondition,
                "does not trust",
            ),
            (
                None,
                "error: tcp connect error: Connection refused",
                ErrorKind::FailedPrecondition,
                "does not answer",
            ),
            (
                None,
                "client error: received corrupt message of type InvalidContentType",
                ErrorKind::FailedPrecondition,
                "speaks no TLS",
            ),
            (None, "odd", ErrorKind::FailedPrecondition, "cannot be asked"),
            (Some(418), "teapot", ErrorKind::FailedPrecondition, "refuses; teapot"),
        ] {
            let fault = fault("r:5/a:1", "r:5", "none", status, said);
            assert!(fault.kind == kind && fault.message.contains(part), "{said}: {fault:?}");
        }
        assert_eq!(words(b"\x1b[31m"), "\\u{1b}[31m");
    }
}
