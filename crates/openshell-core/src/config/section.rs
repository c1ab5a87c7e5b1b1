//! A table of `gateway.toml` read key by key: wrong types, wrong values and unknown keys are collected, not thrown.

use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Location, Placed, Problem};
use super::source::SourceText;
use super::value;
use crate::suggest;

/// A key with one of these in its name may hold what nobody else shall read, even where it is not expected.
const SECRET_WORDS: [&str; 5] = ["db_url", "password", "secret", "token", "private_key"];

/// A key, its value, and where both are.
pub(super) type Entry<'a> = (&'a str, Range<usize>, &'a Spanned<DeValue<'a>>);

/// The entries of a table in the order of the file.
pub(super) fn entries<'a>(table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    entries.sort_by_key(|(_, span, _)| span.start);
    entries
}

/// A table being read.
pub(super) struct Section<'a, 'p> {
    source: &'a SourceText,
    /// Its dotted name, for messages.
    name: String,
    table: &'a DeTable<'a>,
    /// Every key that was asked for: those that exist.
    known: Vec<&'static str>,
    /// Keys that are there, are dealt with, and are not to be suggested.
    skipped: Vec<&'a str>,
    problems: &'p mut Vec<Problem>,
}

impl<'a, 'p> Section<'a, 'p> {
    pub(super) fn new(
        source: &'a SourceText,
        name: impl Into<String>,
        table: &'a DeTable<'a>,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        Self { source, name: name.into(), table, known: Vec::new(), skipped: Vec::new(), problems }
    }

    /// A fault at a span.
    pub(super) fn problem(&self, span: &Range<usize>, message: impl Into<String>) -> Problem {
        Problem::at(self.source.locate(span), message)
    }

    /// The value of a key, which exists from now on.
    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    /// Where the value of a key is.
    pub(super) fn place(&self, key: &str) -> Option<Location> {
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
        Some(self.source.locate(&value.span()))
    }

    /// The keys that begin with a word, which are not looked at.
    #[cfg(not(feature = "telemetry"))]
    pub(super) fn skip_prefix(&mut self, prefix: &str) -> Vec<String> {
        let keys: Vec<&str> =
            self.unknown().into_iter().map(|(key, _, _)| key).filter(|key| key.starts_with(prefix)).collect();
        self.skipped.extend(&keys);
        keys.into_iter().map(str::to_owned).collect()
    }

    /// A table inside this one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<&'a DeTable<'a>> {
        let value = self.take(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(key, "a table", value);
        }
        table
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, "a text", value);
            return None;
        };
        match parse(text) {
            Ok(parsed) => Some(parsed),
            Err(expected) => {
                let problem =
                    self.problem(&value.span(), format!("`{key}` is `{}`: {expected}", value::shown(text)));
                self.problems.push(problem);
                None
            }
        }
    }

    /// A value together with its place.
    pub(super) fn placed<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> Option<Placed<T>> {
        let at = self.place(key);
        let value = read(self, key)?;
        at.map(|at| Placed { value, at })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong_type(key, "`true` or `false`", value);
        }
        found
    }

    /// An integer between two others.
    pub(super) fn bounded(&mut self, key: &'static str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let value = self.take(key)?;
        let number = integer(value).filter(|number| bounds.contains(number));
        if number.is_none() {
            self.wrong_integer(key, &format!("a number, {} to {}", bounds.start(), bounds.end()), value);
        }
        number
    }

    /// A fault of the table as a whole or of one of its keys, found by whoever reads it.
    pub(super) fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// An absolute path.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.parsed(key, value::absolute_path)
    }

    /// An integer that fits.
    pub(super) fn integer<T: TryFrom<i64>>(&mut self, key: &'static str, expected: &str) -> Option<T> {
        let value = self.take(key)?;
        let number = integer(value);
        if number.is_none() {
            self.wrong_integer(key, expected, value);
        }
        number
    }

    /// A list of integers that fit.
    pub(super) fn integers<T: TryFrom<i64>>(&mut self, key: &'static str, expected: &str) -> Vec<T> {
        let Some(values) = self.array(key) else { return Vec::new() };
        let mut numbers = Vec::new();
        for value in values {
            match integer(value) {
                Some(number) => numbers.push(number),
                None => self.wrong_integer(key, expected, value),
            }
        }
        numbers
    }

    /// A list of texts that are not empty.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<String> {
        let Some(values) = self.array(key) else { return Vec::new() };
        let mut texts = Vec::new();
        for value in values {
            match value.get_ref().as_str() {
                Some(text) if !text.trim().is_empty() => texts.push(text.trim().to_owned()),
                Some(_) => self.wrong_value(key, "a list of names", value),
                None => self.wrong_type(key, "a list of names", value),
            }
        }
        texts
    }

    fn wrong_integer(&mut self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) {
        if value.get_ref().is_integer() {
            self.wrong_value(key, expected, value);
        } else {
            self.wrong_type(key, expected, value);
        }
    }

    fn array(&mut self, key: &'static str) -> Option<Vec<&'a Spanned<DeValue<'a>>>> {
        let value = self.take(key)?;
        let Some(array) = value.get_ref().as_array() else {
            let list = match value.get_ref().as_str() {
                Some(text) => format!("a list, such as [{text:?}]"),
                None => "a list".to_owned(),
            };
            self.wrong_type(key, &list, value);
            return None;
        };
        Some(array.iter().collect())
    }

    fn wrong_type(&mut self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) {
        let article = if value.get_ref().type_str().starts_with(['a', 'i']) { "an" } else { "a" };
        let found = format!("{article} {}", value.get_ref().type_str());
        self.wrong(key, expected, &found, value);
    }

    /// A value of the right type that does not fit: it is shown as it stands in the file.
    fn wrong_value(&mut self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) {
        let written = self.source.text().get(value.span()).unwrap_or_default();
        self.wrong(key, expected, &format!("`{}`", value::shown(written)), value);
    }

    fn wrong(&mut self, key: &str, expected: &str, found: &str, value: &Spanned<DeValue<'_>>) {
        let message = format!("`{key}` has to be {expected}, and this is {found}");
        let problem = self.problem(&value.span(), message);
        self.problems.push(problem);
    }

    /// Refuses a key that exists and may not be here, without showing its value.
    pub(super) fn refuse_secret(&mut self, key: &'static str, message: &str, hint: &str) {
        let found = entries(self.table).into_iter().find(|(name, _, _)| *name == key);
        if let Some((_, span, _)) = found {
            self.skipped.push(key);
            let problem = self.problem(&span, message).redacted().hint(hint);
            self.problems.push(problem);
        }
    }

    /// The keys that nobody asked for.
    fn unknown(&self) -> Vec<Entry<'a>> {
        let handled = |key: &&str| self.known.contains(key) || self.skipped.contains(key);
        entries(self.table).into_iter().filter(|(key, _, _)| !handled(key)).collect()
    }

    /// Refuses the keys that nobody asked for. `elsewhere` may know where one belongs.
    pub(super) fn finish(self, elsewhere: impl Fn(&str) -> Option<String>) {
        for (key, span, _) in self.unknown() {
            let message = match self.name.as_str() {
                "" => format!("unknown key `{}`", value::shown(key)),
                name => format!("unknown key `{}` in `[{}]`", value::shown(key), value::shown(name)),
            };
            let problem = self.problem(&span, message);
            let problem = match (elsewhere(key), suggest::nearest(key, self.known.iter().copied())) {
                (Some(place), _) => problem.hint(place),
                (None, Some(near)) => problem.hint(format!("did you mean `{near}`?")),
                (None, None) if self.known.is_empty() => problem,
                (None, None) => problem.hint(format!("its keys are: {}", suggest::quoted(&self.known))),
            };
            let secret = SECRET_WORDS.iter().any(|word| key.contains(word));
            self.problems.push(if secret { problem.redacted() } else { problem });
        }
    }
}

fn integer<T: TryFrom<i64>>(value: &Spanned<DeValue<'_>>) -> Option<T> {
    let integer = value.get_ref().as_integer()?;
    let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
    T::try_from(number).ok()
}
