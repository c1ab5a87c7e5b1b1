//! What of a sandbox nobody may read who may read its pod: the token, and the variables that a request sets.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, Secret, SecretKeySelector};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use openshell_driver_api::{DriverError, environment};
use openshell_driver_common::faults::Faults;

/// The key of the token.
pub(super) const TOKEN_KEY: &str = "token";
/// The key of the certificate authority that a supervisor believes.
pub(super) const CA_KEY: &str = "ca.crt";
/// What the keys of variables begin with.
const VARIABLE: &str = "env.";
/// How many bytes a secret may hold.
///
/// Source: "Secrets", "Restriction on size" in the Kubernetes documentation.
const MOST: usize = 1024 * 1024;
/// How long the key of a secret may be.
const LONGEST_KEY: usize = 253;

/// What the secret holds; `ca` are the certificates of the gateway's authority, for a supervisor, and no secret at all.
///
/// # Errors
/// `InvalidArgument` with every name that no cluster takes, and when it is too much for one secret.
pub(super) fn data(
    variables: &BTreeMap<String, String>,
    token: &openshell_driver_api::Secret,
    ca: Option<&str>,
) -> Result<BTreeMap<String, ByteString>, DriverError> {
    let mut faults = Faults::default();
    let mut data = BTreeMap::new();
    for (name, value) in variables.iter().filter(|(name, _)| is_asked_for(name)) {
        if !is_variable(name) {
            let name = name.escape_debug();
            faults.add(format!("environment: a cluster takes no variable of the name `{name}`: letters, digits, `_`, `-` and `.`"));
        }
        data.insert(format!("{VARIABLE}{name}"), ByteString(value.as_bytes().to_vec()));
    }
    if !token.is_empty() {
        data.insert(TOKEN_KEY.to_owned(), ByteString(token.expose().as_bytes().to_vec()));
    }
    if let Some(ca) = ca {
        data.insert(CA_KEY.to_owned(), ByteString(ca.as_bytes().to_vec()));
    }
    let size: usize = data.values().map(|value| value.0.len()).sum();
    if size > MOST {
        faults.add(format!("environment: {size} bytes, and a secret may hold {MOST}"));
    }
    faults.into_result()?;
    Ok(data)
}

/// The secret; `None` when it would be empty.
pub(super) fn manifest(data: BTreeMap<String, ByteString>, metadata: &ObjectMeta) -> Option<Secret> {
    (!data.is_empty()).then(|| Secret {
        metadata: metadata.clone(),
        data: Some(data),
        // Nobody changes it, and a node need not look whether somebody did.
        immutable: Some(true),
        ..Secret::default()
    })
}

/// The container's variables: ours in plain text, the request's by reference.
pub(super) fn variables(secret: &str, variables: &BTreeMap<String, String>) -> Vec<EnvVar> {
    let variable = |(name, value): (&String, &String)| match is_asked_for(name) {
        false => EnvVar { name: name.clone(), value: Some(literal(value)), value_from: None },
        true => EnvVar {
            name: name.clone(),
            value: None,
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: secret.to_owned(),
                    key: format!("{VARIABLE}{name}"),
                    optional: None,
                }),
                ..EnvVarSource::default()
            }),
        },
    };
    variables.iter().map(variable).collect()
}

/// A text that reads the same after a node has put variables into it: `$(NAME)` would be replaced, and `$$` is `$`.
///
/// Source: "Define Dependent Environment Variables" in the Kubernetes documentation.
pub(super) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn is_asked_for(name: &str) -> bool {
    !name.starts_with(environment::RESERVED_PREFIX)
}

/// What a cluster takes for the name of a variable and, with ours before it, for the key of a secret.
fn is_variable(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(good)
        && !name.starts_with("..")
        && name != "."
        && name.len() <= LONGEST_KEY - VARIABLE.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn ours_are_plain_and_the_request_s_are_not() {
        let all = map(&[("OPENSHELL_SANDBOX", "a$(b)"), ("KEY", "s3cret")]);
        let token = openshell_driver_api::Secret::new("t0ken");
        let keys = |ca| data(&all, &token, ca).expect("good names").into_keys().collect::<Vec<_>>();
        assert_eq!(keys(None), ["env.KEY", "token"]);
        assert_eq!(keys(Some("PEM")), ["ca.crt", "env.KEY", "token"]);
        let shown = serde_json::to_string(&variables("box", &all)).expect("JSON");
        assert!(!shown.contains("s3cret") && shown.contains(r#""key":"env.KEY","name":"box""#), "{shown}");
        assert!(shown.contains(r#""value":"a$$(b)""#), "{shown}");
    }

    #[test]
    fn nothing_is_no_secret() {
        let none = openshell_driver_api::Secret::default();
        let data = data(&map(&[("OPENSHELL_SANDBOX", "a")]), &none, None);
        assert_eq!(manifest(data.expect("good"), &ObjectMeta::default()), None);
    }

    #[test]
    fn names_that_no_cluster_takes_and_too_much() {
        let none = openshell_driver_api::Secret::default();
        let long = "n".repeat(250);
        for name in ["1A", "A B", "ä", "a/b", "..", "..a", ".", &long] {
            let error = data(&map(&[(name, "s3cret")]), &none, None).expect_err(name);
            assert!(error.message().contains("variable of the name") && !error.message().contains("s3cret"));
        }
        let value = "v".repeat(130_000);
        let many: BTreeMap<String, String> = (0..9).map(|n| (format!("V{n}"), value.clone())).collect();
        assert!(
            data(&many, &none, None).expect_err("too much").message().contains("a secret may hold 1048576")
        );
    }
}
