//! The block of a driver in a request's `driver_config`, read strictly.
//!
//! A key that nobody knows is refused by name: a request that believes to have been given something is worse off than
//! one that was told no.

use openshell_driver_api::quantity::Quantity;
use serde_json::{Map, Value};

use crate::config::did_you_mean;
use crate::faults::Faults;

/// An object being read, and where it stands.
pub struct Fields<'a> {
    what: String,
    block: &'a Map<String, Value>,
    faults: &'a mut Faults,
}

impl<'a> Fields<'a> {
    /// Begins with an object that stands at `what` (`driver_config`).
    pub fn new(what: impl Into<String>, block: &'a Map<String, Value>, faults: &'a mut Faults) -> Self {
        Self { what: what.into(), block, faults }
    }

    /// Where the object stands.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Whether a key is there, be it right or wrong.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.block.contains_key(key)
    }

    /// A value as it came.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.block.get(key)
    }

    /// Keeps what is wrong with a key.
    pub fn fault(&mut self, key: &str, fault: impl std::fmt::Display) {
        self.faults.add(format!("{}.{key}: {fault}", self.what));
    }

    /// Keeps a fault for every key that is none of these.
    pub fn refuse_unknown(&mut self, known: &[&str]) {
        for key in self.block.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = did_you_mean(key, known);
            self.faults.add(format!("{}: unknown key `{}`; {hint}", self.what, key.escape_debug()));
        }
    }

    /// A text without a NUL.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.block.get(key)? {
            Value::String(text) if text.contains('\0') => {
                self.fault(key, "it holds a NUL");
                None
            }
            Value::String(text) => Some(text.clone()),
            _ => {
                self.fault(key, "it is not a text");
                None
            }
        }
    }

    /// A whole number of a range.
    pub fn integer(&mut self, key: &str, least: i64, most: i64) -> Option<i64> {
        let value = self.block.get(key)?;
        let number = whole(value).filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.fault(key, format!("`{value}` is not a whole number from {least} on"));
        }
        number
    }

    /// A quantity as text, or a whole number of bytes; never nothing.
    pub fn bytes(&mut self, key: &str) -> Option<i64> {
        let size = match self.block.get(key)? {
            Value::String(text) => match text.parse::<Quantity>() {
                Ok(quantity) => Ok(i64::try_from(quantity.units()).unwrap_or(i64::MAX)),
                Err(error) => Err(error.to_string()),
            },
            number => whole(number).ok_or_else(|| format!("`{number}` is not a size")),
        };
        match size {
            Ok(size) if size > 0 => Some(size),
            Ok(_) => {
                self.fault(key, "a size of nothing");
                None
            }
            Err(fault) => {
                self.fault(key, fault);
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn switch(&mut self, key: &str) -> Option<bool> {
        let value = self.block.get(key)?.as_bool();
        if value.is_none() {
            self.fault(key, "it is neither `true` nor `false`");
        }
        value
    }

    /// A list of texts; absent is empty.
    pub fn texts(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.block.get(key) else { return Vec::new() };
        let texts = value.as_array().and_then(|list| {
            let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<String>>>()
        });
        texts.unwrap_or_else(|| {
            self.fault(key, "it is not a list of texts");
            Vec::new()
        })
    }

    /// Octal permissions, with the sticky bit and without those that change who runs a program.
    pub fn mode(&mut self, key: &str) -> Option<u32> {
        let text = self.text(key)?;
        let octal = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = octal.then(|| u32::from_str_radix(&text, 8).ok()).flatten();
        let mode = mode.filter(|mode| *mode <= 0o1777);
        if mode.is_none() {
            self.fault(key, format!("`{}` is not octal permissions up to `1777`", text.escape_debug()));
        }
        mode
    }

    /// A list of objects, each read with its place; `None` items are those with faults.
    pub fn objects<T>(&mut self, key: &str, mut read: impl FnMut(Fields<'_>) -> Option<T>) -> Vec<T> {
        let Some(value) = self.block.get(key) else { return Vec::new() };
        let Some(list) = value.as_array() else {
            self.fault(key, "it is not a list");
            return Vec::new();
        };
        let mut values = Vec::new();
        for (place, item) in list.iter().enumerate() {
            let what = format!("{}.{key}[{place}]", self.what);
            match item.as_object() {
                Some(block) => values.extend(read(Fields { what, block, faults: self.faults })),
                None => self.faults.add(format!("{what}: it is not an object")),
            }
        }
        values
    }

    /// One object, read with its place.
    pub fn object<T>(&mut self, key: &str, read: impl FnOnce(Fields<'_>) -> Option<T>) -> Option<T> {
        let value = self.block.get(key)?;
        let what = format!("{}.{key}", self.what);
        match value.as_object() {
            Some(block) => read(Fields { what, block, faults: self.faults }),
            None => {
                self.faults.add(format!("{what}: it is not an object"));
                None
            }
        }
    }
}

/// A number without a fraction: numbers come over the wire as floating point.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        // Beyond 2^53 whole numbers are no longer told apart.
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(block: &Value, read: impl FnOnce(&mut Fields<'_>)) -> Vec<String> {
        let mut faults = Faults::default();
        read(&mut Fields::new("driver_config", block.as_object().expect("an object"), &mut faults));
        let said = faults.into_result().err().map(|error| error.message().to_owned()).unwrap_or_default();
        said.split("; ").filter(|fault| !fault.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn objects_are_read_with_their_places() {
        let block = json!({"list": [{"n": 1}, 2, {"n": "x"}], "one": {"m": 1}, "other": []});
        let faults = read(&block, |fields| {
            let numbers = fields.objects("list", |mut item| item.integer("n", 0, 9));
            assert_eq!(numbers, [1]);
            let one = fields.object("one", |mut item| {
                item.refuse_unknown(&["n"]);
                assert_eq!(item.what(), "driver_config.one");
                Some(item.has("m"))
            });
            assert_eq!(one, Some(true));
            assert_eq!(fields.object("other", |_| Some(())), None);
            assert_eq!(fields.value("absent"), None);
        });
        let expected = [
            "driver_config.list[1]: it is not an object",
            "driver_config.list[2].n: `\"x\"` is not a whole number from 0 on",
            "driver_config.one: unknown key `m`",
            "did you mean `n`?",
            "driver_config.other: it is not an object",
        ];
        assert_eq!(faults[..3], expected[..3]);
        assert_eq!(faults.last().map(String::as_str), expected.last().copied());
    }
}
