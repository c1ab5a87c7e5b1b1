//! Takes values out of a table and collects what is wrong with them.

use openshell_driver_api::quantity::Quantity;
use openshell_driver_api::{ConfigError, Table};

/// What is wrong with a value, and what to write instead.
pub(super) type Problem = (String, Option<String>);

/// A table being read: a key that is absent or wrong gives `None`, and what is wrong is kept.
pub(super) struct Reader<'a> {
    table: &'a Table,
    faults: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self { table, faults: Vec::new() }
    }

    /// Whether a key is there, be it right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Notes what is wrong with a key.
    pub(super) fn fault(&mut self, key: &str, message: String, hint: Option<String>) {
        self.faults.push(ConfigError { key: key.to_owned(), message, hint });
    }

    fn wrong_type(&mut self, key: &str, wanted: &str) {
        let found = self.table.get(key).map_or("nothing", |value| value.type_str());
        self.fault(key, format!("`{key}` is {}, not {wanted}", article(found)), None);
    }

    /// A text as something else.
    pub(super) fn text<T>(&mut self, key: &str, read: impl FnOnce(&str) -> Result<T, Problem>) -> Option<T> {
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
    pub(super) fn integer(&mut self, key: &str, least: i64, most: i64) -> Option<i64> {
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
    pub(super) fn switch(&mut self, key: &str) -> bool {
        let Some(value) = self.table.get(key) else { return false };
        value.as_bool().unwrap_or_else(|| {
            self.wrong_type(key, "`true` or `false`");
            false
        })
    }

    /// A quantity of bytes (`64Mi`).
    pub(super) fn bytes(&mut self, key: &str) -> Option<i64> {
        self.text(key, |text| match text.parse::<Quantity>() {
            Ok(quantity) => Ok(i64::try_from(quantity.units()).unwrap_or(i64::MAX)),
            Err(error) => {
                Err((format!("is not a size: {}", error.problem), Some(format!("{key} = \"64Mi\""))))
            }
        })
    }

    /// A list of texts, each as something else; absent is empty.
    pub(super) fn texts<T>(&mut self, key: &str, read: impl Fn(&str) -> Result<T, Problem>) -> Vec<T> {
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
    pub(super) fn faults(mut self, known: &[&str]) -> Vec<ConfigError> {
        for key in self.table.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = super::did_you_mean(key, known);
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
