//! How much a request may hold, and what may stand in it: what a hostile client sends is refused here, by name, before
//! anything is stored or anybody is asked.
//!
//! Labels follow Kubernetes' grammar, whatever the backend, so that a sandbox can be moved from one to the other. The
//! bounds on variables and arguments are what a Linux process can be given at all.

use std::collections::BTreeMap;

use openshell_driver_api::environment::RESERVED_PREFIX;
use serde_json::{Map, Value};

use crate::selector;

/// The most labels, and the most annotations, of one thing.
const MAX_LABELS: usize = 256;
/// The most bytes of labels, and of annotations: Kubernetes' own bound for annotations.
const MAX_NOTES: usize = 256 * 1024;
/// The most bytes of all variables of a sandbox, its template's among them.
const MAX_ENVIRONMENT: usize = 1024 * 1024;
/// The most bytes of one argument, or of one variable with its name and `=`, without the NUL: `MAX_ARG_STRLEN` of
/// execve(2), 32 pages.
const MAX_STRING: usize = 128 * 1024 - 1;
/// The most bytes of a command.
const MAX_COMMAND: usize = 256 * 1024;
/// The most arguments of a command.
const MAX_ARGUMENTS: usize = 4096;
/// The most bytes of a `driver_config`, as JSON.
const MAX_CONFIG: usize = 256 * 1024;
/// How deep objects and arrays of a `driver_config` may lie in each other.
const MAX_CONFIG_DEPTH: usize = 16;
/// The most bytes of a text that names something: an image, a runtime class, a socket.
const MAX_TEXT: usize = 4096;
/// What `log_level` may say, in any case; empty leaves it to whoever logs.
const LOG_LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error", "off"];

/// The faults of labels: their number and size, and Kubernetes' grammar for keys and values.
pub(crate) fn label_faults(field: &str, labels: &BTreeMap<String, String>) -> Vec<String> {
    if let Some(fault) = too_many(field, labels) {
        return vec![fault];
    }
    let fault = |(key, value): (&String, &String)| {
        let checked = selector::check_key(key).and_then(|()| selector::check_value(value));
        checked.err().map(|fault| format!("`{field}`: {fault}"))
    };
    labels.iter().filter_map(fault).collect()
}

/// The faults of annotations: keys as of labels, values any text that is one line of print.
pub(crate) fn annotation_faults(field: &str, annotations: &BTreeMap<String, String>) -> Vec<String> {
    if let Some(fault) = too_many(field, annotations) {
        return vec![fault];
    }
    let fault = |(key, value): (&String, &String)| {
        if let Err(fault) = selector::check_key(key) {
            return Some(format!("`{field}`: {fault}"));
        }
        let control = value.contains(char::is_control);
        control.then(|| format!("`{field}`: the value of `{key}` holds a line break or a control character"))
    };
    annotations.iter().filter_map(fault).collect()
}

fn too_many(field: &str, map: &BTreeMap<String, String>) -> Option<String> {
    if map.len() > MAX_LABELS {
        return Some(format!("`{field}` has {} entries, and may have {MAX_LABELS}", map.len()));
    }
    let bytes: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
    (bytes > MAX_NOTES).then(|| format!("`{field}` has {bytes} bytes, and may have {MAX_NOTES}"))
}

/// The faults of environments that one sandbox is given together, each with its field. The values are never shown:
/// they may be secrets.
pub(crate) fn environment_faults(environments: &[(&str, &BTreeMap<String, String>)]) -> Vec<String> {
    faults_but(environments, "")
}

/// The faults of the environment of a command, which may set one reserved name.
pub(crate) fn exec_environment_faults(
    field: &str,
    environment: &BTreeMap<String, String>,
    allowed: &str,
) -> Vec<String> {
    faults_but(&[(field, environment)], allowed)
}

fn faults_but(environments: &[(&str, &BTreeMap<String, String>)], allowed: &str) -> Vec<String> {
    let all =
        || environments.iter().flat_map(|(field, variables)| variables.iter().map(move |pair| (field, pair)));
    let bytes: usize = all().map(|(_, (name, value))| name.len() + value.len()).sum();
    if bytes > MAX_ENVIRONMENT {
        let fields: Vec<String> = environments.iter().map(|(field, _)| format!("`{field}`")).collect();
        let fields = fields.join(" and ");
        return vec![format!("{fields}: {bytes} bytes of variables, and there may be {MAX_ENVIRONMENT}")];
    }
    let fault = |(field, (name, value)): (&&str, (&String, &String))| {
        if name.len() + value.len() + 1 > MAX_STRING {
            let shown: String = name.escape_debug().take(64).collect();
            return Some(format!("`{field}`: the variable `{shown}` has more than {MAX_STRING} bytes"));
        }
        let shown = name.escape_debug();
        if name.is_empty() {
            Some(format!("`{field}` has an empty name"))
        } else if name.contains('=') || name.contains(char::is_control) {
            Some(format!("`{field}`: the name `{shown}` holds `=`, NUL or a control character"))
        } else if name.starts_with(RESERVED_PREFIX) && name != allowed {
            Some(format!("`{field}`: `{shown}` begins with `{RESERVED_PREFIX}`, which is reserved"))
        } else {
            value.contains('\0').then(|| format!("`{field}`: the value of `{shown}` holds a NUL"))
        }
    };
    all().filter_map(fault).collect()
}

/// The faults of a command; it is never shown.
pub(crate) fn command_faults(field: &str, command: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let bytes: usize = command.iter().map(String::len).sum();
    if command.len() > MAX_ARGUMENTS {
        faults.push(format!("`{field}` has {} arguments, and may have {MAX_ARGUMENTS}", command.len()));
    }
    if bytes > MAX_COMMAND {
        faults.push(format!("`{field}` has {bytes} bytes, and may have {MAX_COMMAND}"));
    }
    if command.iter().any(|argument| argument.len() > MAX_STRING) {
        faults.push(format!("`{field}` has an argument of more than {MAX_STRING} bytes"));
    }
    if command.iter().any(|argument| argument.contains('\0')) {
        faults.push(format!("`{field}` holds a NUL"));
    }
    if command.first().is_some_and(String::is_empty) {
        faults.push(format!("`{field}` begins with an empty text"));
    }
    faults
}

/// The fault of a text that names something: too long, or not one line of print.
pub(crate) fn text_fault(field: &str, text: &str) -> Option<String> {
    if text.len() > MAX_TEXT {
        return Some(format!("`{field}` has {} bytes, and may have {MAX_TEXT}", text.len()));
    }
    let control = text.contains(char::is_control);
    control.then(|| format!("`{field}` holds a line break or a control character"))
}

/// The fault of a level of logs.
pub(crate) fn log_level_fault(field: &str, level: &str) -> Option<String> {
    let known = level.is_empty() || LOG_LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
    (!known).then(|| {
        let shown: String = level.escape_debug().take(64).collect();
        format!("`{field}`: `{shown}` is none of {}", LOG_LEVELS.join(", "))
    })
}

/// The fault of a configuration that goes on to a driver: nested too deep, or too large.
pub(crate) fn config_fault(field: &str, config: &Map<String, Value>) -> Option<String> {
    // The bound on a reader of protobuf keeps this from going any deeper than it can.
    if config.values().map(depth).max().unwrap_or(0) + 1 > MAX_CONFIG_DEPTH {
        return Some(format!("`{field}` is nested deeper than {MAX_CONFIG_DEPTH} objects and arrays"));
    }
    let bytes = serde_json::to_string(config).map_or(usize::MAX, |text| text.len());
    (bytes > MAX_CONFIG).then(|| format!("`{field}` has {bytes} bytes, and may have {MAX_CONFIG}"))
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    fn many(count: usize, value: &str) -> BTreeMap<String, String> {
        (0..count).map(|number| (format!("k{number}"), value.to_owned())).collect()
    }

    #[test]
    fn labels() {
        for good in [map("a", ""), map("x.io/y", "v"), many(MAX_LABELS, "v")] {
            assert!(label_faults("labels", &good).is_empty());
        }
        for (bad, says) in [
            (map("k", "a\nb"), "a\\nb"),
            (map("k\n", "v"), "k\\n"),
            (map("k", "\u{7}"), "\\u{7}"),
            (map("k", &"v".repeat(64)), "63"),
            (map("", "v"), "63"),
            (map("../k", "v"), ".."),
            (many(MAX_LABELS + 1, "v"), "257 entries"),
        ] {
            let faults = label_faults("labels", &bad);
            assert!(
                faults.len() == 1 && faults[0].contains(says) && faults[0].contains("`labels`"),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn annotations() {
        for good in [map("a", ""), map("x.io/y", "any text, \"of\" one line: ü")] {
            assert!(annotation_faults("annotations", &good).is_empty());
        }
        for (bad, says) in [
            (map("k", "a\nb"), "the value of `k`"),
            (map("k", "\u{1b}[31m"), "the value of `k`"),
            (map("k k", "v"), "k k"),
            (map("", "v"), "63"),
            (map("k", &"v".repeat(MAX_NOTES)), "262145 bytes"),
            (many(MAX_LABELS + 1, ""), "257 entries"),
        ] {
            let faults = annotation_faults("annotations", &bad);
            assert!(faults.len() == 1 && faults[0].contains(says), "{faults:?}");
        }
    }

    #[test]
    fn environments() {
        let (large, larger) = ("s3cret".repeat(15_000), "s3cret".repeat(2_000_000));
        assert!(environment_faults(&[("a", &many(11, &large)), ("b", &map("C", "d\ne"))]).is_empty());
        for (bad, says) in [
            (many(12, &large), "`a` and `b`: 1080"),
            (map("LARGE", &larger), "12000005 bytes"),
            (map("LONG", &"s3cret".repeat(30_000)), "`LONG`"),
            (map("", "s3cret"), "empty name"),
            (map("A=B", "s3cret"), "A=B"),
            (map("A\0", "s3cret"), "A\\0"),
            (map("A\n", "s3cret"), "A\\n"),
            (map("A", "s3cret\0"), "the value of `A`"),
            (map("OPENSHELL_X", "s3cret"), "`OPENSHELL_X`"),
        ] {
            let faults = environment_faults(&[("a", &bad), ("b", &BTreeMap::new())]);
            assert!(faults.len() == 1 && faults[0].contains(says), "{says}: {faults:?}");
            assert!(!faults[0].contains("s3cret") && faults[0].len() < 400, "{faults:?}");
        }
    }

    #[test]
    fn commands() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(command_faults("command", &[]).is_empty());
        assert!(command_faults("command", &words(&["sh", "-c", "", "a\nb"])).is_empty());
        for (bad, says) in [
            (vec!["a".to_owned(); MAX_ARGUMENTS + 1], "4097 arguments"),
            (vec!["a".repeat(100_000); 3], "300000 bytes"),
            (vec!["a".repeat(MAX_STRING + 1)], "an argument"),
            (words(&["a\0"]), "NUL"),
            (words(&["", "a"]), "empty text"),
        ] {
            let faults = command_faults("command", &bad);
            assert!(faults.len() == 1 && faults[0].contains(says), "{faults:?}");
        }
    }

    #[test]
    fn configurations() {
        let nested = |levels: usize| {
            let mut value = json!(1);
            for level in 0..levels {
                value = if level % 2 == 0 { json!([value]) } else { json!({"a": value}) };
            }
            Map::from_iter([("fake".to_owned(), value)])
        };
        assert_eq!(config_fault("c", &nested(MAX_CONFIG_DEPTH - 1)), None);
        assert!(config_fault("c", &nested(MAX_CONFIG_DEPTH)).unwrap().contains("deeper than 16"));
        let large = Map::from_iter([("fake".to_owned(), json!({"a": "b".repeat(MAX_CONFIG)}))]);
        assert!(config_fault("c", &large).unwrap().contains("may have 262144"));
    }

    #[test]
    fn texts_and_levels() {
        assert_eq!(text_fault("image", "registry:5000/a/b:c@sha256:0"), None);
        assert!(text_fault("image", "a\nb").unwrap().contains("`image`"));
        assert!(text_fault("image", &"a".repeat(5000)).unwrap().contains("5000 bytes"));
        for good in ["", "debug", "INFO", "Warn", "off"] {
            assert_eq!(log_level_fault("log_level", good), None, "{good}");
        }
        for bad in ["loud", "info ", "info,x=debug", &"x".repeat(100_000)] {
            let fault = log_level_fault("log_level", bad).unwrap();
            assert!(fault.contains("`log_level`") && fault.len() < 200, "{fault}");
        }
    }
}
