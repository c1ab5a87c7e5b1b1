//! The `cfg` words of `platforms`: which there are, and the predicate that each stands for.

use crate::nearest::{did_you_mean, listed};
use crate::words::shown;

/// Words that are `cfg` predicates as they are.
const FAMILIES: &[&str] = &["unix", "windows"];

/// Words that stand for `target_os = "…"`, and the values of that key.
const SYSTEMS: &[&str] =
    &["android", "dragonfly", "freebsd", "illumos", "ios", "linux", "macos", "netbsd", "openbsd", "solaris"];

const ARCHITECTURES: &[&str] = &[
    "aarch64",
    "arm",
    "loongarch64",
    "mips",
    "mips64",
    "powerpc",
    "powerpc64",
    "riscv32",
    "riscv64",
    "s390x",
    "sparc64",
    "wasm32",
    "x86",
    "x86_64",
];

/// The keys that may be asked for, and their values.
const KEYS: &[(&str, &[&str])] = &[
    ("target_arch", ARCHITECTURES),
    ("target_endian", &["big", "little"]),
    ("target_env", &["gnu", "msvc", "musl", "ohos", "sgx", "uclibc"]),
    ("target_family", FAMILIES),
    ("target_os", SYSTEMS),
    ("target_pointer_width", &["16", "32", "64"]),
];

/// The `cfg` predicate of a word of `platforms`: `linux` is `target_os = "linux"`, and whatever cargo takes as it is
/// stays as it is.
#[must_use]
pub fn platform_cfg(word: &str) -> String {
    if SYSTEMS.contains(&word) { format!("target_os = \"{word}\"") } else { word.to_owned() }
}

/// What is wrong with a word, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadPlatform {
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// A word of the manifest in the spelling of the model.
pub(crate) fn parse(word: &str) -> Result<String, BadPlatform> {
    let word = word.trim();
    if FAMILIES.contains(&word) || SYSTEMS.contains(&word) {
        return Ok(word.to_owned());
    }
    let bad = |message: String, hint: String| Err(BadPlatform { message, hint });
    if word.contains(['(', ')', ',']) {
        return bad(
            format!("`{}` is more than one `cfg` word", shown(word)),
            "write one word an element: a driver runs where any of them holds".to_owned(),
        );
    }
    let plain = || FAMILIES.iter().chain(SYSTEMS).copied();
    let Some((key, value)) = word.split_once('=') else {
        return bad(
            format!("unknown platform `{}`", shown(word)),
            did_you_mean(word, plain()).unwrap_or_else(|| {
                format!("a platform is a pair as `target_arch = \"x86_64\"`, or {}", listed(plain()))
            }),
        );
    };
    let key = key.trim();
    let Some((_, values)) = KEYS.iter().find(|(known, _)| *known == key) else {
        let keys = || KEYS.iter().map(|(known, _)| *known);
        return bad(
            format!("a platform cannot ask for `{}`", shown(key)),
            did_you_mean(key, keys()).unwrap_or_else(|| format!("it can ask for {}", listed(keys()))),
        );
    };
    let quoted = value.trim();
    let Some(value) = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return bad(
            format!("the value of `{key}` is not in quotes"),
            format!("write `'{key} = \"{}\"'`", shown(quoted.trim_matches('"'))),
        );
    };
    if !values.contains(&value) {
        return bad(
            format!("unknown value `{}` of `{key}`", shown(value)),
            did_you_mean(value, values.iter().copied())
                .unwrap_or_else(|| format!("known are {}", listed(values.iter().copied()))),
        );
    }
    // One predicate, one spelling: `linux` and `target_os = "linux"` are a duplicate.
    Ok(if matches!(key, "target_os" | "target_family") {
        value.to_owned()
    } else {
        format!("{key} = \"{value}\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_predicate_has_one_spelling() {
        assert_eq!(parse("linux").as_deref(), Ok("linux"));
        assert_eq!(parse(" target_os=\"linux\" ").as_deref(), Ok("linux"));
        assert_eq!(parse("target_arch=\"x86_64\"").as_deref(), Ok("target_arch = \"x86_64\""));
        assert_eq!(platform_cfg("linux"), "target_os = \"linux\"");
        assert_eq!(platform_cfg("unix"), "unix");
        assert_eq!(platform_cfg("target_arch = \"x86_64\""), "target_arch = \"x86_64\"");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let hint = |word: &str| parse(word).expect_err("it is wrong").hint;
        assert_eq!(hint("linx"), "did you mean `linux`?");
        assert_eq!(hint("target_os = linux"), "write `'target_os = \"linux\"'`");
        assert_eq!(hint("target_oss = \"linux\""), "did you mean `target_os`?");
        assert_eq!(hint("target_arch = \"x86-64\""), "did you mean `x86_64`?");
        assert!(hint("all(unix, linux)").starts_with("write one word"));
    }
}
