//! The environment variables that a sandbox is given, the same for every backend.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::supervisor::{self, SupervisorDelivery};
use crate::{DriverContext, DriverError, SandboxRequest};

/// Names that begin so are ours: a request that sets one is refused.
pub const RESERVED_PREFIX: &str = "OPENSHELL_";

/// Where the supervisor dials the gateway; absent while there is nothing to dial.
pub const ENDPOINT: &str = "OPENSHELL_ENDPOINT";
/// The sandbox's id.
pub const SANDBOX_ID: &str = "OPENSHELL_SANDBOX_ID";
/// The sandbox's name.
pub const SANDBOX: &str = "OPENSHELL_SANDBOX";
/// The path of the file that holds the token; absent when there is no token.
pub const SANDBOX_TOKEN_FILE: &str = "OPENSHELL_SANDBOX_TOKEN_FILE";
/// The path of the file with the CA that signs for the gateway; absent where the gateway is behind a Unix socket.
pub const CA_FILE: &str = "OPENSHELL_CA_FILE";
/// The main process; see [`main_process_spec`].
pub const MAIN_PROCESS_SPEC: &str = "OPENSHELL_MAIN_PROCESS_SPEC";
/// `false` when the gateway has telemetry off or compiled out; absent otherwise.
pub const TELEMETRY_ENABLED: &str = "OPENSHELL_TELEMETRY_ENABLED";

/// How long a variable with its name, or a word of a command, may be: Linux passes on 32 pages, the NUL at its end
/// included, and there are hosts with pages of 4 KiB.
///
/// Source: `execve(2)`, "Limits on size of arguments and environment".
const LONGEST: usize = 32 * 4096 - 1;

/// The variables of a sandbox: the template's, over them the request's, over both ours.
///
/// `token_file` is the path inside of the sandbox at which the driver puts the token; it is told only when there is a
/// token to put there.
///
/// # Errors
/// `InvalidArgument` with every bad name: an empty one, one with `=` or NUL, one that begins with
/// [`RESERVED_PREFIX`]; every name whose value holds a NUL; and what is too long for Linux. A value is never shown: it may be a secret.
pub fn of(
    request: &SandboxRequest,
    context: &DriverContext,
    token_file: &str,
) -> Result<BTreeMap<String, String>, DriverError> {
    let spec = &request.spec;
    let faults: Vec<String> = [("template", &spec.template.environment), ("request", &spec.environment)]
        .into_iter()
        .flat_map(|(origin, variables)| variables.iter().map(move |(name, value)| (origin, name, value)))
        .filter_map(|(origin, name, value)| {
            fault(name, value).map(|fault| format!("{origin}'s environment: {fault}"))
        })
        .collect();
    if !faults.is_empty() {
        return Err(DriverError::invalid("read environment", faults.join("; ")));
    }
    let mut variables = spec.template.environment.clone();
    variables.extend(spec.environment.clone());
    let mut give = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    give(SANDBOX_ID, request.id.as_str());
    give(SANDBOX, &request.name);
    give(MAIN_PROCESS_SPEC, &main_process_spec(&spec.command, spec.tty, SpecForm::Json));
    if !context.endpoint.is_empty() {
        give(ENDPOINT, &context.endpoint);
    }
    if !spec.token.is_empty() {
        give(SANDBOX_TOKEN_FILE, token_file);
    }
    if let Some(SupervisorDelivery::Network { .. }) = &context.supervisor {
        give(CA_FILE, supervisor::CA);
    }
    if !context.telemetry {
        give(TELEMETRY_ENABLED, "false");
    }
    let too_long: Vec<String> = variables
        .iter()
        .filter(|(name, value)| name.len() + "=".len() + value.len() > LONGEST)
        .map(|(name, _)| match name.as_str() {
            MAIN_PROCESS_SPEC => format!("the command is longer than {LONGEST} bytes with its quotes"),
            name => format!("the variable `{name}` is longer than {LONGEST} bytes"),
        })
        .collect();
    if !too_long.is_empty() {
        return Err(DriverError::invalid("read environment", too_long.join("; ")));
    }
    Ok(variables)
}

fn fault(name: &str, value: &str) -> Option<String> {
    if name.is_empty() {
        return Some("a name is empty".to_owned());
    }
    if name.contains(['=', '\0']) {
        return Some(format!("the name `{}` holds `=` or NUL", name.escape_debug()));
    }
    if name.starts_with(RESERVED_PREFIX) {
        return Some(format!("the name `{name}` begins with `{RESERVED_PREFIX}`, which is reserved"));
    }
    value.contains('\0').then(|| format!("the value of `{name}` holds a NUL"))
}

/// How [`main_process_spec`] writes its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecForm {
    /// JSON as it is.
    Json,
    /// `base64url:` and the JSON, for backends that carry variables through something that quotes badly.
    Base64Url,
}

const BASE64URL_PREFIX: &str = "base64url:";

/// The value of [`MAIN_PROCESS_SPEC`]: `{"version":1,"command":[…],"tty":bool}`, the exact argv and no shell; an empty
/// command runs the image's own, else `/bin/sh`.
#[must_use]
pub fn main_process_spec(command: &[String], tty: bool, form: SpecForm) -> String {
    // By hand rather than from a `json!` object, so that the keys keep the contract's order.
    let json = format!(r#"{{"version":1,"command":{},"tty":{tty}}}"#, json!(command));
    match form {
        SpecForm::Json => json,
        SpecForm::Base64Url => format!("{BASE64URL_PREFIX}{}", encode_base64url(json.as_bytes())),
    }
}

/// Reads the value of [`MAIN_PROCESS_SPEC`] in either form: the command, and whether it gets a terminal.
///
/// # Errors
/// `InvalidArgument` for anything else, and for a version other than 1.
pub fn read_main_process_spec(text: &str) -> Result<(Vec<String>, bool), DriverError> {
    let bad = |problem: &str| DriverError::invalid("read main process spec", problem);
    let json = match text.strip_prefix(BASE64URL_PREFIX) {
        Some(encoded) => decode_base64url(encoded).ok_or_else(|| bad("it is not base64url"))?,
        None => text.as_bytes().to_vec(),
    };
    let value: Value =
        serde_json::from_slice(&json).map_err(|error| bad("it is not JSON").with_source(error))?;
    if value["version"] != json!(1) {
        return Err(bad("its version is not 1"));
    }
    let words = value["command"].as_array().ok_or_else(|| bad("`command` is not a list"))?;
    let command: Option<Vec<String>> = words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    let tty = value["tty"].as_bool().ok_or_else(|| bad("`tty` is not a boolean"))?;
    Ok((command.ok_or_else(|| bad("`command` holds something that is not text"))?, tty))
}

/// RFC 4648, section 5.
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Without padding: the length of the text says it all.
fn encode_base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..=chunk.len() {
            text.push(char::from(BASE64URL[(group >> (18 - 6 * position) & 0x3f) as usize]));
        }
    }
    text
}

/// With or without padding.
fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut group = 0_u32;
        for digit in chunk {
            let value = BASE64URL.iter().position(|candidate| candidate == digit)?;
            group = group << 6 | u32::try_from(value).ok()?;
        }
        group <<= 6 * (4 - chunk.len());
        bytes.extend_from_slice(&group.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, SandboxId, SandboxSpec, Secret, Template};

    fn context() -> DriverContext {
        DriverContext {
            name: "test".into(),
            gateway_id: "gw".into(),
            state_dir: "/nowhere".into(),
            telemetry: true,
            endpoint: String::new(),
            supervisor: None,
        }
    }

    fn request(template: &[(&str, &str)], own: &[(&str, &str)]) -> SandboxRequest {
        let map =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        SandboxRequest {
            id: SandboxId::new("id-1").expect("an id"),
            name: "one".into(),
            namespace: String::new(),
            workspace: "default".into(),
            spec: SandboxSpec {
                environment: map(own),
                template: Template { environment: map(template), ..Template::default() },
                command: vec!["sleep".into(), "3 0\"0".into()],
                ..SandboxSpec::default()
            },
        }
    }

    #[test]
    fn the_request_wins_over_the_template() {
        let given = of(&request(&[("A", "t"), ("B", "t")], &[("B", "r")]), &context(), "/t").expect("valid");
        assert_eq!((given["A"].as_str(), given["B"].as_str()), ("t", "r"));
        assert_eq!(given["OPENSHELL_SANDBOX_ID"], "id-1");
        assert_eq!(given["OPENSHELL_SANDBOX"], "one");
        assert_eq!(
            given["OPENSHELL_MAIN_PROCESS_SPEC"],
            r#"{"version":1,"command":["sleep","3 0\"0"],"tty":false}"#
        );
        for absent in [ENDPOINT, SANDBOX_TOKEN_FILE, CA_FILE, TELEMETRY_ENABLED] {
            assert!(!given.contains_key(absent), "{absent}");
        }
    }

    #[test]
    fn the_optional_variables() {
        let mut request = request(&[], &[]);
        request.spec.token = Secret::new("s3cret");
        let mut context = DriverContext { telemetry: false, endpoint: "unix:///gw".into(), ..context() };
        let given = of(&request, &context, "/run/token").expect("valid");
        assert_eq!(given["OPENSHELL_ENDPOINT"], "unix:///gw");
        assert_eq!(given["OPENSHELL_SANDBOX_TOKEN_FILE"], "/run/token");
        assert_eq!(given["OPENSHELL_TELEMETRY_ENABLED"], "false");
        assert!(!given.values().any(|value| value.contains("s3cret")));
        assert!(!given.contains_key(CA_FILE));
        let (endpoint, ca) = ("https://gw:1".to_owned(), "PEM".to_owned());
        context.supervisor = Some(SupervisorDelivery::Network { endpoint, ca });
        let given = of(&request, &context, "/run/token").expect("valid");
        assert_eq!(given["OPENSHELL_CA_FILE"], "/run/openshell/ca.crt");
    }

    #[test]
    fn every_bad_name_in_one_error_and_no_value() {
        let bad =
            request(&[("", "v1"), ("OPENSHELL_X", "v2")], &[("A=B", "v3"), ("C\0", "v4"), ("D", "v5\0")]);
        let error = of(&bad, &context(), "/t").expect_err("five faults");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = error.message();
        for part in ["a name is empty", "`OPENSHELL_X`", "`A=B`", "`C\\0`", "value of `D`"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("v1") && !text.contains("v5"), "{text}");
    }

    #[test]
    fn what_no_kernel_passes_on_is_refused() {
        let fits = "v".repeat(LONGEST - 2);
        assert!(of(&request(&[], &[("A", &fits)]), &context(), "/t").is_ok());
        let long = format!("{fits}v");
        let mut bad = request(&[("A", &long)], &[]);
        bad.spec.command = vec![long];
        let error = of(&bad, &context(), "/t").expect_err("both are too long");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(
            error.message().contains("variable `A`") && error.message().contains("the command"),
            "{error}"
        );
        assert!(error.message().len() < 200, "without the value: {error}");
    }

    #[test]
    fn a_name_that_only_resembles_ours_is_fine() {
        assert!(
            of(
                &request(&[], &[("OPENSHELL", "v"), ("openshell_x", "v"), ("MY_OPENSHELL_X", "v")]),
                &context(),
                "/t"
            )
            .is_ok()
        );
    }

    #[test]
    fn specs_round_trip_in_both_forms() {
        for command in [vec![], vec!["a"], vec!["ab", "ü\n"], vec!["", "\"", "\\", "ÿ?>"]] {
            let command: Vec<String> = command.into_iter().map(str::to_owned).collect();
            for form in [SpecForm::Json, SpecForm::Base64Url] {
                let text = main_process_spec(&command, true, form);
                assert_eq!(read_main_process_spec(&text).expect(&text), (command.clone(), true));
            }
        }
    }

    #[test]
    fn base64url_vectors_of_rfc_4648() {
        for (plain, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")]
        {
            assert_eq!(encode_base64url(plain.as_bytes()), text);
            assert_eq!(decode_base64url(text).expect(text), plain.as_bytes());
        }
        assert_eq!(encode_base64url(&[0xff, 0xfe]), "__4");
        assert_eq!(decode_base64url("Zg==").expect("padded"), b"f");
        assert_eq!((decode_base64url("Z"), decode_base64url("Z+==")), (None, None));
    }

    #[test]
    fn junk_specs_are_refused() {
        for text in [
            "",
            "{",
            "[]",
            r#"{"version":2,"command":[],"tty":false}"#,
            r#"{"version":1,"command":[1],"tty":false}"#,
            r#"{"version":1,"command":[]}"#,
            "base64url:***",
        ] {
            assert!(read_main_process_spec(text).is_err(), "{text}");
        }
    }
}
