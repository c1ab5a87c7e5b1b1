//! The forms of words: names, packages, features, variables. Each function says what is wrong, or nothing.

use crate::model::EXTERNAL;

/// Names that would be taken for something else, and what that is.
const RESERVED_DRIVERS: &[(&str, &str)] = &[
    ("all", "`all` stands for every driver"),
    ("api", "`openshell-driver-api` is the crate of the driver API"),
    ("conformance", "`openshell-driver-conformance` is the crate of the conformance tests"),
    ("default", "`default` stands for the drivers of the default features"),
    ("none", "`none` stands for no driver"),
    ("remote", "`openshell-driver-remote` is the crate that dials sockets"),
];

/// The same for options, whose names are features.
const RESERVED_OPTIONS: &[(&str, &str)] = &[
    ("all", "`all` stands for every option"),
    ("default", "`default` is cargo's own feature"),
    ("none", "`none` stands for no option"),
];

/// The same for presets.
const RESERVED_PRESETS: &[(&str, &str)] =
    &[("all", "`--all` selects every driver"), ("none", "`none` stands for no driver")];

/// Crates that every gateway holds, or that hold the gateway: none of them can be left out, so none is a driver.
const NOT_DRIVERS: &[&str] = &[
    "openshell-cli",
    "openshell-core",
    "openshell-driver-api",
    "openshell-driver-conformance",
    "openshell-driver-remote",
    "openshell-drivers",
    "openshell-proto",
    "openshell-runtime",
    "openshell-sandbox",
    "openshell-server",
    "openshell-uds",
];

/// The longest name: a selection's names make one directory's name.
const LONGEST_NAME: usize = 64;

/// What a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Driver,
    Option,
    Preset,
}

impl Named {
    pub(crate) fn with_article(self) -> &'static str {
        match self {
            Self::Driver => "a driver",
            Self::Option => "an option",
            Self::Preset => "a preset",
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Option => "option",
            Self::Preset => "preset",
        }
    }
}

/// Whether a name has the form `[a-z][a-z0-9-]*`.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// What to write in place of a name that is not one.
pub(crate) fn name_hint(name: &str) -> String {
    let mended: String = name.trim().to_lowercase().replace(['_', ' ', '.', '/'], "-");
    if is_name(&mended) {
        format!("did you mean `{mended}`?")
    } else {
        format!(
            "a name is of lower-case letters, digits and `-`, begins with a letter, and has at most {LONGEST_NAME}"
        )
    }
}

/// Why a name cannot be had, if it cannot.
pub(crate) fn reserved(named: Named, name: &str) -> Option<&'static str> {
    let list = match named {
        Named::Driver => RESERVED_DRIVERS,
        Named::Option if name.starts_with("driver-") => {
            return Some("features that begin with `driver-` are the drivers'");
        }
        Named::Option => RESERVED_OPTIONS,
        Named::Preset => RESERVED_PRESETS,
    };
    list.iter().find(|(word, _)| *word == name).map(|(_, why)| *why)
}

/// Why nobody can call a driver so, whatever other drivers there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NameError {
    message: String,
    hint: String,
}

impl NameError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

/// Looks at a name before there is an entry for it: the rules are those that an entry's name is held to.
///
/// # Errors
///
/// When it has not the form of a driver's name, or is reserved.
pub fn check_driver_name(name: &str) -> Result<(), NameError> {
    if !is_name(name) {
        let message =
            format!("`{}` is not a name that a driver can have", shown(&name.escape_debug().to_string()));
        return Err(NameError { message, hint: name_hint(name) });
    }
    let why = if name == EXTERNAL {
        Some("`external` stands for any driver behind a socket")
    } else {
        reserved(Named::Driver, name)
    };
    match why {
        Some(why) => {
            let message = format!("the name `{name}` is reserved: {why}");
            Err(NameError { message, hint: "give the driver another name".to_owned() })
        }
        None => Ok(()),
    }
}

/// Whether cargo takes it as a package's name.
pub(crate) fn is_package(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Whether a package is part of every gateway or program, so that it cannot be one driver's.
pub(crate) fn is_common_package(name: &str) -> bool {
    NOT_DRIVERS.contains(&name)
}

/// Two spellings of one crate: cargo's registry takes `-` and `_` for the same.
pub(crate) fn crate_key(name: &str) -> String {
    name.replace('_', "-").to_ascii_lowercase()
}

/// Whether cargo takes it as a feature's name.
pub(crate) fn is_feature(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '.'))
}

/// Whether it is a variable's name as we write them.
pub(crate) fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// A value as it is printed in a message: not longer than a line takes.
pub(crate) fn shown(value: &str) -> String {
    const LONGEST: usize = 60;
    if value.chars().count() <= LONGEST {
        value.to_owned()
    } else {
        value.chars().take(LONGEST).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert!(is_name("k3s-remote"));
        for bad in ["", "-a", "3d", "Docker", "a_b", "a b", "ä", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad:?}");
        }
        assert!(is_package("openshell-driver-docker") && is_package("_x9"));
        assert!(!is_package("") && !is_package("9x") && !is_package("a.b"));
        assert!(is_variable("OPENSHELL_X1") && !is_variable("_X") && !is_variable("x"));
        assert!(is_feature("rt-multi_thread") && !is_feature("") && !is_feature("a/b"));
    }

    #[test]
    fn a_name_is_judged_before_there_is_an_entry() {
        assert_eq!(check_driver_name("kyma"), Ok(()));
        let error = check_driver_name("My_Driver").expect_err("not of the form");
        assert_eq!(error.to_string(), "`My_Driver` is not a name that a driver can have");
        assert_eq!(error.hint(), "did you mean `my-driver`?");
        for reserved in ["remote", "all", "external"] {
            let error = check_driver_name(reserved).expect_err(reserved);
            assert!(error.to_string().contains("is reserved: "), "{error}");
        }
    }

    #[test]
    fn a_name_is_mended_where_that_gives_one() {
        assert_eq!(name_hint("My_Driver"), "did you mean `my-driver`?");
        assert!(name_hint("9lives").starts_with("a name is of"));
    }
}
