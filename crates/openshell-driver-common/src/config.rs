//! A driver's own table of `gateway.toml`: takes values out of it and collects what is wrong with them.

use std::path::{Path, PathBuf};

use openshell_driver_api::quantity::Quantity;
use openshell_driver_api::{ConfigError, DriverError, ErrorKind, Table};

/// What is wrong with a value, and what to write instead.
pub type Problem = (String, Option<String>);

/// A table being read: a key that is absent or wrong gives `None`, and what is wrong is kept.
pub struct Reader<'a> {
    table: &'a Table,
    faults: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    /// Begins with a table.
    #[must_use]
    pub fn new(table: &'a Table) -> Self {
        Self { table, faults: Vec::new() }
    }

    /// Whether a key is there, be it right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes what is wrong with a key.
    pub fn fault(&mut self, key: &str, message: String, hint: Option<String>) {
        self.faults.push(ConfigError { key: key.to_owned(), message, hint });
    }

    fn wrong_type(&mut self, key: &str, wanted: &str) {
        let found = self.table.get(key).map_or("nothing", |value| value.type_str());
        self.fault(key, format!("`{key}` is {}, not {wanted}", article(found)), None);
    }

    /// A text as something else.
    pub fn text<T>(&mut self, key: &str, read: impl FnOnce(&str) -> Result<T, Problem>) -> Option<T> {
        let value = self.table.get(key)?;
        let Some(text) = value.as_str() else {
            self.wrong_type(key, "a text");
            return None;
        };
        match read(text) {
            Ok(value) => Some(value),
            Err((problem, hint)) => {
                self.fault(key, format!("`{text}` {problem}"), hint);
                None
            }
        }
    }

    /// A whole number of a range.
    pub fn integer(&mut self, key: &str, least: i64, most: i64) -> Option<i64> {
        let value = self.table.get(key)?;
        match value.as_integer() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(number) => {
                self.fault(key, format!("`{number}` is not between {least} and {most}"), None);
                None
            }
            None => {
                self.wrong_type(key, "an integer");
                None
            }
        }
    }

    /// `true` or `false`; absent is `false`.
    pub fn switch(&mut self, key: &str) -> bool {
        let Some(value) = self.table.get(key) else { return false };
        value.as_bool().unwrap_or_else(|| {
            self.wrong_type(key, "`true` or `false`");
            false
        })
    }

    /// A quantity of bytes (`64Mi`).
    pub fn bytes(&mut self, key: &str) -> Option<i64> {
        self.text(key, |text| match text.parse::<Quantity>() {
            Ok(quantity) => Ok(i64::try_from(quantity.units()).unwrap_or(i64::MAX)),
            Err(error) => {
                Err((format!("is not a size: {}", error.problem), Some(format!("{key} = \"64Mi\""))))
            }
        })
    }

    /// A list of texts, each as something else; absent is empty.
    pub fn texts<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, Problem>) -> Vec<T> {
        let Some(value) = self.table.get(key) else { return Vec::new() };
        let Some(list) = value.as_array() else {
            self.wrong_type(key, "a list");
            return Vec::new();
        };
        let mut values = Vec::new();
        for item in list {
            let Some(text) = item.as_str() else {
                self.fault(key, format!("`{key}` holds {}, not a text", article(item.type_str())), None);
                continue;
            };
            match read(text) {
                Ok(value) => values.push(value),
                Err((problem, hint)) => self.fault(key, format!("`{text}` {problem}"), hint),
            }
        }
        values
    }

    /// Everything that was wrong, with every key that nobody knows.
    pub fn faults(mut self, known: &[&str]) -> Vec<ConfigError> {
        for key in self.table.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = did_you_mean(key, known);
            self.faults.push(ConfigError {
                key: key.clone(),
                message: format!("unknown key `{key}`"),
                hint: Some(hint),
            });
        }
        self.faults
    }
}

fn article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// What to say of a key that nobody knows: the nearest that somebody does, else all of them.
#[must_use]
pub fn did_you_mean(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), known))
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .min();
    match nearest {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => {
            let all: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
            format!("the keys are {}", all.join(", "))
        }
    }
}

/// The path of a file.
///
/// # Errors
/// When it is not absolute: relative to what, nobody would know.
pub fn absolute(key: &str, text: &str) -> Result<PathBuf, Problem> {
    if Path::new(text).is_absolute() {
        return Ok(PathBuf::from(text));
    }
    Err(("is not an absolute path".to_owned(), Some(format!("{key} = \"/path/to/file\""))))
}

/// The faults of a table that somebody opened without checking it.
#[must_use]
pub fn refused(faults: Vec<ConfigError>) -> DriverError {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    DriverError::new(ErrorKind::FailedPrecondition, "read configuration", faults.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_kept_and_nothing_else() {
        let table: Table =
            "n = 0\nt = 3\nl = ['a', 1]\ns = 'yes'\nb = '1Mi'\npath = 'x'\nnmae = ''".parse().expect("TOML");
        let mut reader = Reader::new(&table);
        assert_eq!((reader.integer("n", 1, 9), reader.text("t", |text| Ok(text.to_owned()))), (None, None));
        assert_eq!(reader.texts("l", |text| Ok(text.to_owned())), ["a"]);
        assert_eq!((reader.switch("s"), reader.bytes("b"), reader.has("path")), (false, Some(1 << 20), true));
        assert_eq!(reader.text("path", |text| absolute("path", text)), None);
        let faults = reader.faults(&["n", "t", "l", "s", "b", "path", "name"]);
        let said: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
        let expected = [
            "`0` is not between 1 and 9",
            "`t` is an integer, not a text",
            "`l` holds an integer, not a text",
            "`s` is a string, not `true` or `false`",
            "`x` is not an absolute path",
            "unknown key `nmae`",
        ];
        assert_eq!(said, expected);
        assert_eq!(faults[5].hint.as_deref(), Some("did you mean `name`?"));
        assert!(refused(faults).message().contains("`nmae`"));
    }
}
