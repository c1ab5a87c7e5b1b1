//! Labels: their grammar, which is Kubernetes' own, and the selectors that pick sandboxes by them.

/// What a label has to be for a sandbox to be picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// There.
    Exists(String),
    /// There, with this value.
    Equals(String, String),
    /// Not there, or with another value.
    Differs(String, String),
}

/// Requirements of which all have to hold; none picks everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Selector(Vec<Requirement>);

impl Selector {
    /// Reads `k=v,k2!=v2,k3`; `k==v` is `k=v`.
    ///
    /// # Errors
    /// A sentence that shows the part that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(|part| requirement(part.trim())).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn requirements(&self) -> &[Requirement] {
        &self.0
    }
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if part.is_empty() {
        return Err("the label selector has an empty part".to_owned());
    }
    let wrong = |problem: String| format!("the label selector's part `{}`: {problem}", part.escape_debug());
    let (key, rest) = match part.split_once("!=") {
        Some((key, value)) => (key, Some((true, value))),
        None => match part.split_once('=') {
            Some((key, value)) => (key, Some((false, value.strip_prefix('=').unwrap_or(value)))),
            None => (part, None),
        },
    };
    let key = key.trim();
    check_key(key).map_err(wrong)?;
    let Some((differs, value)) = rest else { return Ok(Requirement::Exists(key.to_owned())) };
    let value = value.trim();
    check_value(value).map_err(wrong)?;
    let (key, value) = (key.to_owned(), value.to_owned());
    Ok(if differs { Requirement::Differs(key, value) } else { Requirement::Equals(key, value) })
}

/// Checks a label's key: `name` or `prefix/name`.
///
/// Source: the Kubernetes documentation, "Labels and Selectors", syntax and character set.
///
/// # Errors
/// A sentence that shows the key.
pub(crate) fn check_key(key: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        Some((prefix, name)) => {
            let label = |part: &str| {
                let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
                edge(part.chars().next())
                    && edge(part.chars().last())
                    && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            };
            if prefix.len() > 253 || !prefix.split('.').all(label) {
                return Err(format!("`{}` is not a DNS subdomain", prefix.escape_debug()));
            }
            name
        }
        None => key,
    };
    if name.is_empty() || !is_word(name) {
        return Err(format!(
            "the key `{}` is not 1 to 63 of `A-Za-z0-9-_.`, begun and ended by a letter or digit",
            key.escape_debug()
        ));
    }
    Ok(())
}

/// Checks a label's value: empty, or the same as a key without a prefix.
///
/// # Errors
/// A sentence that shows the value.
pub(crate) fn check_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_word(value) {
        return Ok(());
    }
    Err(format!(
        "the value `{}` is not up to 63 of `A-Za-z0-9-_.`, begun and ended by a letter or digit",
        value.escape_debug()
    ))
}

fn is_word(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar() {
        let equals = |k: &str, v: &str| Requirement::Equals(k.to_owned(), v.to_owned());
        let differs = |k: &str, v: &str| Requirement::Differs(k.to_owned(), v.to_owned());
        let exists = |k: &str| Requirement::Exists(k.to_owned());
        for (text, expected) in [
            ("", vec![]),
            ("  ", vec![]),
            ("k=v,k2!=v2,k3", vec![equals("k", "v"), differs("k2", "v2"), exists("k3")]),
            (" a == b , c = ", vec![equals("a", "b"), equals("c", "")]),
            ("x.io/y!=", vec![differs("x.io/y", "")]),
        ] {
            assert_eq!(Selector::parse(text).unwrap().requirements(), expected, "{text}");
        }
    }

    #[test]
    fn junk_is_refused_and_shown() {
        for text in [
            ",",
            "a,",
            ",a",
            "=v",
            "!=v",
            "!k",
            "a=b=c",
            "a!=b!=c",
            "a b",
            "k in (a,b)",
            "k=ü",
            "k>1",
            "-a",
            "a-=b",
            "/x",
            "x/",
            "X/y",
            "a//b",
            "a=b\n",
            &"k".repeat(64),
            &format!("k={}", "v".repeat(64)),
        ] {
            let error = Selector::parse(text);
            // A line break at the end is white space and trimmed, like a blank.
            assert_eq!(error.is_err(), text != "a=b\n", "{text:?}: {error:?}");
        }
        assert!(Selector::parse("k>1").unwrap_err().contains("`k>1`"));
    }
}
