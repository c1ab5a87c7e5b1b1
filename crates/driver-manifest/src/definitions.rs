//! Where each key of a text is defined, in order, duplicates included: the tree keeps one of two, a message shows both.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, RecursionGuard, parse_document};

use crate::diagnostic::Span;

/// Nesting deeper than this is not followed; the reader of values has reported it by then.
const DEEPEST: u32 = 80;

/// The index of one text.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    /// Paths and the last segment's place, in the order of the text.
    defined: Vec<(Path, Span)>,
    /// Where the tables' headers begin.
    pub(crate) headers: Vec<usize>,
    /// The outermost lists and inline tables, from the bracket that opens them to where the parser takes them to end.
    pub(crate) bracketed: Vec<Bracketed>,
}

/// A list or an inline table.
#[derive(Debug)]
pub(crate) struct Bracketed {
    pub(crate) span: Span,
    pub(crate) is_list: bool,
}

/// A key's full path. Elements of arrays of tables and inline tables get a segment of their own, a number that no
/// other has, so that equal paths mean that the key is the same.
type Path = Vec<String>;

impl Definitions {
    pub(crate) fn of(text: &str) -> Self {
        let source = Source::new(text);
        let tokens = source.lex().into_vec();
        let mut events: Vec<Event> = Vec::with_capacity(tokens.len());
        let mut receive = |event: Event| events.push(event);
        parse_document(&tokens, &mut RecursionGuard::new(&mut receive, DEEPEST), &mut ());
        let mut walk = Walk::new(source);
        for event in &events {
            walk.event(event);
            walk.bracket(event);
        }
        walk.close_brackets(text.len());
        walk.found
    }

    /// Where the key at `span` was defined first, if that was elsewhere.
    pub(crate) fn first(&self, span: &Span) -> Option<Span> {
        let (path, _) = self.defined.iter().find(|(_, at)| at == span)?;
        let (_, first) = self.defined.iter().find(|(other, _)| other == path)?;
        (first != span).then(|| first.clone())
    }
}

struct Walk<'t> {
    source: Source<'t>,
    found: Definitions,
    /// The path of the table that keys belong to, one for each inline table that is open.
    bases: Vec<Path>,
    /// The segments of the key that is being read.
    keys: Vec<(String, Span)>,
    /// How many elements each array of tables has.
    elements: BTreeMap<Path, usize>,
    /// Headers may go on below an implicit table; only the table's own header defines it.
    arrays: BTreeSet<Path>,
    /// Brackets that are open: where the outermost is, whether it is a list's, and how many there are.
    open: Option<(usize, bool, usize)>,
}

impl<'t> Walk<'t> {
    fn new(source: Source<'t>) -> Self {
        Self {
            source,
            found: Definitions::default(),
            bases: vec![Path::new()],
            keys: Vec::new(),
            elements: BTreeMap::new(),
            arrays: BTreeSet::new(),
            open: None,
        }
    }

    fn event(&mut self, event: &Event) {
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => {
                self.found.headers.push(event.span().start());
                self.bases = vec![Path::new()];
                self.keys.clear();
            }
            EventKind::StdTableClose | EventKind::ArrayTableClose => {
                let is_array = event.kind() == EventKind::ArrayTableClose;
                if let Some(path) = self.header(is_array) {
                    self.bases = vec![path];
                }
            }
            EventKind::SimpleKey => {
                let span = event.span().start()..event.span().end();
                let mut name = Cow::Borrowed("");
                if let Some(raw) = self.source.get(event) {
                    raw.decode_key(&mut name, &mut ());
                }
                self.keys.push((name.into_owned(), span));
            }
            EventKind::KeyValSep => {
                let mut path = self.bases.last().cloned().unwrap_or_default();
                let last = self.keys.last().map(|(_, span)| span.clone());
                path.extend(self.keys.drain(..).map(|(name, _)| name));
                if let Some(span) = last {
                    self.found.defined.push((path.clone(), span));
                }
            }
            EventKind::InlineTableOpen => self.bases.push(vec![format!("{}", event.span().start())]),
            EventKind::InlineTableClose if self.bases.len() > 1 => {
                self.bases.pop();
            }
            EventKind::Newline | EventKind::ValueSep => self.keys.clear(),
            _ => {}
        }
    }

    /// Keeps count of brackets.
    fn bracket(&mut self, event: &Event) {
        let span = event.span();
        match event.kind() {
            EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                let is_list = event.kind() == EventKind::ArrayOpen;
                self.open.get_or_insert((span.start(), is_list, 0)).2 += 1;
            }
            EventKind::ArrayClose | EventKind::InlineTableClose => {
                if let Some((_, _, depth)) = &mut self.open {
                    *depth -= 1;
                    if *depth == 0 {
                        self.close_brackets(span.end());
                    }
                }
            }
            EventKind::StdTableOpen | EventKind::ArrayTableOpen => self.close_brackets(span.start()),
            _ => {}
        }
    }

    fn close_brackets(&mut self, end: usize) {
        if let Some((start, is_list, _)) = self.open.take() {
            self.found.bracketed.push(Bracketed { span: start..end, is_list });
        }
    }

    /// The path that a header opens; it is a definition unless it adds to an array.
    fn header(&mut self, is_array: bool) -> Option<Path> {
        let last = self.keys.last().map(|(_, span)| span.clone())?;
        let names: Vec<String> = self.keys.drain(..).map(|(name, _)| name).collect();
        let mut path = Path::new();
        let count = names.len();
        for (index, name) in names.into_iter().enumerate() {
            path.push(name);
            let is_last = index + 1 == count;
            if self.arrays.contains(&path) && !is_last {
                let element = self.elements.get(&path).copied().unwrap_or_default();
                path.push(element.to_string());
            }
        }
        if is_array {
            if self.arrays.insert(path.clone()) {
                self.found.defined.push((path.clone(), last));
            }
            let element = self.elements.entry(path.clone()).or_default();
            *element += 1;
            path.push(element.to_string());
        } else {
            self.found.defined.push((path.clone(), last));
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str, nth: usize, key: &str) -> Option<usize> {
        let start = text.match_indices(key).nth(nth).expect("the key is in the text").0;
        Definitions::of(text).first(&(start..start + key.len())).map(|span| span.start)
    }

    #[test]
    fn the_first_of_two_is_found() {
        assert_eq!(first("a = 1\nb = 2\na = 3\n", 1, "a"), Some(0));
        assert_eq!(first("[x.t]\n[x.u]\n[x.t]\n", 1, "t"), Some(3));
        assert_eq!(first("t = { k = 1, j = 2, k = 3 }\n", 1, "k"), Some(6));
    }

    #[test]
    fn keys_of_two_elements_are_two() {
        assert_eq!(first("[[d]]\nname = 1\n[[d]]\nname = 2\n", 1, "name"), None);
        assert_eq!(first("[[d]]\n[d.docs]\n[[d]]\n[d.docs]\n", 1, "docs"), None);
    }
}
