//! Checks of single values that several tables share.

use crate::diagnostic::{Code, Sink};
use crate::model::Docs;
use crate::raw::{At, Field, RawDocs, RawEvidence};
use crate::words::{self, Named, shown};

use super::{Owner, required};

/// The shortest text that is evidence: a shorter one is in any binary by chance.
const SHORTEST_EVIDENCE: usize = 6;

/// The form of a name, and whether it can be had.
pub(super) fn name(named: Named, name: &At<String>, sink: &mut Sink) {
    if !words::is_name(&name.value) {
        sink.error(
            Code::BadName,
            name.span.clone(),
            format!("`{}` is not a name that {} can have", shown(&name.value), named.with_article()),
        )
        .hint(words::name_hint(&name.value));
    } else if let Some(why) = words::reserved(named, &name.value) {
        sink.error(Code::ReservedName, name.span.clone(), format!("the name `{}` is reserved", name.value))
            .label(why)
            .hint(format!("give the {} another name", named.word()));
    }
}

/// A text of one line that says something; empty when there is none.
pub(super) fn line(key: &str, field: &Field<String>, sink: &mut Sink) -> String {
    field.get().map(|text| line_at(key, text, sink)).unwrap_or_default()
}

fn line_at(key: &str, text: &At<String>, sink: &mut Sink) -> String {
    if text.value.trim().is_empty() {
        sink.error(Code::BadText, text.span.clone(), format!("`{key}` says nothing"))
            .label("empty")
            .hint("write a few words, or leave the key out where it is not required");
    } else if text.value.chars().any(char::is_control) {
        sink.error(Code::BadText, text.span.clone(), format!("`{key}` is not one line of text"))
            .label("a line break or another control character is in it")
            .hint("it goes into a cell of a table: write one line");
    }
    text.value.trim().to_owned()
}

/// `docs`.
pub(super) fn docs(field: &Field<RawDocs>, owner: &Owner<'_>, sink: &mut Sink) -> Docs {
    let Some(docs) = field.get() else { return Docs::default() };
    match &docs.value {
        RawDocs::Text(text) => Docs { runs: line_at("docs", text, sink), boundary: String::new() },
        RawDocs::Table { runs, boundary } => {
            let inner =
                Owner { title: format!("`docs` of {}", owner.title), at: &docs.span, whole: owner.whole };
            required(runs, "runs", &inner, "\"where its sandboxes run\"", sink);
            required(boundary, "boundary", &inner, "\"what separates them from the host\"", sink);
            Docs { runs: line("runs", runs, sink), boundary: line("boundary", boundary, sink) }
        }
    }
}

/// `evidence`.
pub(super) fn evidence(field: &Field<RawEvidence>, owner: &Owner<'_>, sink: &mut Sink) -> Vec<String> {
    let Some(evidence) = field.get() else { return Vec::new() };
    let inner =
        Owner { title: format!("`evidence` of {}", owner.title), at: &evidence.span, whole: owner.whole };
    required(&evidence.value.texts, "texts", &inner, "[\"…\"]", sink);
    let texts = list("texts", &evidence.value.texts, sink);
    for text in &texts {
        if text.value.len() < SHORTEST_EVIDENCE {
            sink.error(
                Code::BadEvidence,
                text.span.clone(),
                format!("`{}` is too short to prove anything", shown(&text.value)),
            )
            .hint(format!("a text of {SHORTEST_EVIDENCE} bytes or more, that nothing else has in it"));
        }
    }
    texts.into_iter().map(|text| text.value).collect()
}

/// A list that is there for a reason: something is in it, and nothing twice. Returns what is in it, once.
pub(super) fn list(key: &str, field: &Field<Vec<At<String>>>, sink: &mut Sink) -> Vec<At<String>> {
    let Some(at) = field.get() else { return Vec::new() };
    if at.value.is_empty() {
        sink.error(Code::EmptyList, at.span.clone(), format!("`{key}` is empty"))
            .label("nothing in it")
            .hint(match key {
                "texts" => "name a text, or leave `evidence` out".to_owned(),
                _ => format!("leave `{key}` out, or name something"),
            });
    }
    unique(key, at.value.clone(), sink)
}

/// Elements in their spelling of the model, each once; the others are reported.
pub(super) fn unique(key: &str, elements: Vec<At<String>>, sink: &mut Sink) -> Vec<At<String>> {
    let mut seen: Vec<At<String>> = Vec::new();
    for element in elements {
        match seen.iter().find(|first| first.value == element.value) {
            Some(first) => {
                sink.error(
                    Code::DuplicateItem,
                    element.span.clone(),
                    format!("`{}` is in `{key}` twice", shown(&element.value)),
                )
                .label("again here")
                .also(first.span.clone(), "first here")
                .hint("remove one of the two");
            }
            None => seen.push(element),
        }
    }
    seen
}
