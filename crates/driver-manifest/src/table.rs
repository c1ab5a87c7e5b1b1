//! One table of the file, read key by key: unknown keys and wrong types are reported here, for every table alike.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Code, Sink, Span};
use crate::nearest::{listed, nearest};
use crate::raw::{At, Field};
use crate::schema::Key;
use crate::syntax::Broken;
use crate::words::shown;

/// A table and the keys that the schema has for it.
pub(crate) struct Table<'r, 't> {
    table: &'r DeTable<'t>,
    pub(crate) broken: &'r Broken,
    /// Keys that are not there, and where a misspelling of them is.
    misspelt: BTreeMap<&'static str, String>,
}

impl<'r, 't> Table<'r, 't> {
    /// Takes a table in hand and reports the keys that are not of the schema. `place` says where that is.
    pub(crate) fn open(
        place: impl Into<String>,
        table: &'r DeTable<'t>,
        known: &'static [Key],
        broken: &'r Broken,
        sink: &mut Sink,
    ) -> Self {
        let place = place.into();
        let names = || known.iter().map(|key| key.name);
        let mut misspelt = BTreeMap::new();
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if names().any(|known| known == name) || broken.covers(&key.span()) {
                continue;
            }
            let error =
                sink.error(Code::UnknownKey, key.span(), format!("unknown key `{}` in {place}", shown(name)));
            match nearest(name, names()) {
                Some(meant) => {
                    error.hint(format!("did you mean `{meant}`?"));
                    misspelt.entry(meant).or_insert_with(|| name.to_owned());
                }
                None => {
                    error.hint(format!("{place} takes {}", listed(names())));
                }
            }
        }
        Self { table, broken, misspelt }
    }

    /// A key and its value, also when the key is misspelt.
    pub(crate) fn find(&self, key: &str) -> Option<(Span, &'r Spanned<DeValue<'t>>)> {
        let table: &'r DeTable<'t> = self.table;
        let lookup = |name: &str| table.get_key_value(name).map(|(key, value)| (key.span(), value));
        lookup(key).or_else(|| lookup(self.misspelt.get(key)?))
    }

    /// Whether a key is there and a misspelling of it is too.
    pub(crate) fn is_split(&self, key: &str) -> bool {
        self.table.contains_key(key) && self.misspelt.contains_key(key)
    }

    pub(crate) fn text(&self, key: &str, sink: &mut Sink) -> Field<String> {
        self.read(key, "a text", "put it in quotes", sink, |value, _, _| match value {
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        })
    }

    pub(crate) fn flag(&self, key: &str, sink: &mut Sink) -> Field<bool> {
        self.read(key, "`true` or `false`", "write `true` or `false`, without quotes", sink, |value, _, _| {
            match value {
                DeValue::Boolean(flag) => Some(*flag),
                _ => None,
            }
        })
    }

    pub(crate) fn number(&self, key: &str, sink: &mut Sink) -> Field<u64> {
        self.read(key, "a whole number, 0 or more", "write digits, without quotes", sink, |value, _, _| {
            let DeValue::Integer(number) = value else { return None };
            u64::from_str_radix(number.as_str(), number.radix()).ok()
        })
    }

    /// A list of texts; elements of another type are reported and left out.
    pub(crate) fn list(&self, key: &str, sink: &mut Sink) -> Field<Vec<At<String>>> {
        let hint = format!("write `{key} = [\"…\"]`");
        self.read(key, "a list of texts", &hint, sink, |value, _, sink| {
            let DeValue::Array(elements) = value else { return None };
            let mut texts = Vec::new();
            for element in elements {
                match element.get_ref() {
                    _ if self.broken.covers(&element.span()) => {}
                    DeValue::String(text) => {
                        texts.push(At { value: text.to_string(), span: element.span() });
                    }
                    _ => self.wrong_type(key, "a list of texts", element, "put each in quotes", sink),
                }
            }
            // What had elements and lost them all is not an empty list.
            Some((texts, elements.is_empty()))
        })
        .keep_unless(|(texts, empty)| texts.is_empty() && !empty)
        .map(|(texts, _)| texts)
    }

    /// A key, read by `convert`, whose `None` means another type than `expected`.
    pub(crate) fn read<T>(
        &self,
        key: &str,
        expected: &str,
        hint: &str,
        sink: &mut Sink,
        convert: impl FnOnce(&'r DeValue<'t>, Span, &mut Sink) -> Option<T>,
    ) -> Field<T> {
        let Some((key_span, value)) = self.find(key) else { return Field::Absent };
        if self.broken.covers(&value.span()) {
            return Field::Broken { key: key_span };
        }
        match convert(value.get_ref(), value.span(), sink) {
            Some(converted) => {
                Field::Given { key: key_span, at: At { value: converted, span: value.span() } }
            }
            None => {
                self.wrong_type(key, expected, value, hint, sink);
                Field::Broken { key: key_span }
            }
        }
    }

    /// Reports a value of another type than the key takes.
    pub(crate) fn wrong_type(
        &self,
        key: &str,
        expected: &str,
        value: &Spanned<DeValue<'_>>,
        hint: &str,
        sink: &mut Sink,
    ) {
        if self.broken.covers(&value.span()) {
            return;
        }
        let found = type_name(value.get_ref());
        let error =
            sink.error(Code::WrongType, value.span(), format!("`{key}` takes {expected}, not {found}"));
        error.label(found);
        if !hint.is_empty() {
            error.hint(hint);
        }
    }
}

impl<T> Field<T> {
    fn keep_unless(self, useless: impl FnOnce(&T) -> bool) -> Self {
        match self {
            Self::Given { key, at } if useless(&at.value) => Self::Broken { key },
            other => other,
        }
    }

    fn map<U>(self, convert: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Broken { key } => Field::Broken { key },
            Self::Given { key, at } => {
                Field::Given { key, at: At { value: convert(at.value), span: at.span } }
            }
        }
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(number) if number.as_str().starts_with('-') => "a negative number",
        DeValue::Integer(number) if u64::from_str_radix(number.as_str(), number.radix()).is_err() => {
            "a number that large"
        }
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
