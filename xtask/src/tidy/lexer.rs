//! Rust source as words: identifiers and string literals with their lines. Comments, documentation and tests are left
//! out, because prose and tests may say what code may not.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A word of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) line: usize,
    pub(super) kind: WordKind,
    pub(super) text: String,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordKind {
    /// An identifier.
    Ident,
    /// A string literal's content.
    Text,
    /// A string literal's content, in `feature = "…"`.
    Feature,
}

/// What a file holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Lexed {
    pub(super) words: Vec<Word>,
    /// Modules in files of their own that are there for tests alone: `#[cfg(test)] mod NAME;`.
    pub(super) test_modules: Vec<String>,
}

/// The words of a file; `None` when it is no Rust that can be read.
pub(super) fn lex(source: &str) -> Option<Lexed> {
    // A `#!` line is no token; an inner attribute is.
    let body = if source.starts_with("#!") && !source.starts_with("#![") {
        source.replacen("#!", "//", 1)
    } else {
        source.to_owned()
    };
    let mut lexed = Lexed::default();
    collect(TokenStream::from_str(&body).ok()?, &mut lexed);
    Some(lexed)
}

fn collect(stream: TokenStream, lexed: &mut Lexed) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let mut i = 0;
    while i < tokens.len() {
        if let Some((attribute, inner, next)) = attribute(&tokens, i) {
            let name = attribute.first().map(ToString::to_string).unwrap_or_default();
            if is_test(&attribute) {
                if inner {
                    return;
                }
                i = after_item(&tokens, next);
                lexed.test_modules.extend(module_in_a_file(&tokens[next..i]));
                continue;
            }
            if name != "doc" {
                collect(attribute.into_iter().collect(), lexed);
            }
            i = next;
            continue;
        }
        match &tokens[i] {
            TokenTree::Group(group) => collect(group.stream(), lexed),
            TokenTree::Ident(ident) => lexed.words.push(Word {
                line: ident.span().start().line,
                kind: WordKind::Ident,
                text: ident.to_string().trim_start_matches("r#").to_owned(),
            }),
            TokenTree::Literal(literal) => {
                if let Some(text) = string(&literal.to_string()) {
                    let kind = if follows_feature(&tokens, i) { WordKind::Feature } else { WordKind::Text };
                    lexed.words.push(Word { line: literal.span().start().line, kind, text });
                }
            }
            TokenTree::Punct(_) => {}
        }
        i += 1;
    }
}

/// `#[…]` or `#![…]` at `i`: its tokens, whether it is an inner one, and where it ends.
fn attribute(tokens: &[TokenTree], i: usize) -> Option<(Vec<TokenTree>, bool, usize)> {
    let punct =
        |at: usize, wanted| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == wanted);
    if !punct(i, '#') {
        return None;
    }
    let inner = punct(i + 1, '!');
    let at = if inner { i + 2 } else { i + 1 };
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            Some((group.stream().into_iter().collect(), inner, at + 1))
        }
        _ => None,
    }
}

/// `test`, `tokio::test`, `cfg(test)`, `cfg(all(test, …))`; not `cfg(not(test))`.
fn is_test(attribute: &[TokenTree]) -> bool {
    let name = |token: Option<&TokenTree>| token.map(ToString::to_string).unwrap_or_default();
    match attribute {
        [.., TokenTree::Ident(last)] if last == "test" => true,
        [TokenTree::Ident(cfg), TokenTree::Group(group)] if cfg == "cfg" => {
            let inside: Vec<_> = group.stream().into_iter().collect();
            match inside.as_slice() {
                [TokenTree::Ident(all), TokenTree::Group(list)] if all == "all" => has_ident(list, "test"),
                _ => name(inside.first()) == "test",
            }
        }
        _ => false,
    }
}

fn has_ident(group: &Group, wanted: &str) -> bool {
    group.stream().into_iter().any(|token| matches!(token, TokenTree::Ident(ident) if ident == wanted))
}

/// Where the item that begins at `i` ends: after its braces or its semicolon.
fn after_item(tokens: &[TokenTree], mut i: usize) -> usize {
    while i < tokens.len() {
        let ends = match &tokens[i] {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        };
        i += 1;
        if ends {
            break;
        }
    }
    i
}

/// The name in `mod NAME;`, whatever stands before it.
fn module_in_a_file(item: &[TokenTree]) -> Option<String> {
    match item {
        [.., TokenTree::Ident(keyword), TokenTree::Ident(name), TokenTree::Punct(end)]
            if keyword == "mod" && end.as_char() == ';' =>
        {
            Some(name.to_string())
        }
        _ => None,
    }
}

/// Whether `feature =` stands before the literal.
fn follows_feature(tokens: &[TokenTree], i: usize) -> bool {
    let [before @ .., equals] = &tokens[..i] else { return false };
    matches!(equals, TokenTree::Punct(punct) if punct.as_char() == '=')
        && matches!(before.last(), Some(TokenTree::Ident(ident)) if ident == "feature")
}

/// The content of a string literal of any form; escapes stay as they are written.
fn string(literal: &str) -> Option<String> {
    let rest = literal.trim_start_matches(['b', 'c', 'r']);
    let rest = rest.trim_matches('#');
    rest.strip_prefix('"')?.strip_suffix('"').map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_for_tests_alone_are_known() {
        let source = "#[cfg(test)]\npub(crate) mod testing;\nmod code;\n#[cfg(test)] mod tests { fn f() {} }";
        assert_eq!(lex(source).unwrap().test_modules, ["testing"]);
    }

    #[test]
    fn prose_and_tests_are_left_out() {
        let source = r##"//! docker
            /// docker
            fn code() -> &'static str { /* docker */ "one" } // docker
            #[cfg(feature = "driver-x")] fn gated() {}
            #[cfg(test)] mod tests { fn f() { "hidden"; } }
            #[test] fn one() { "hidden"; }
            #[cfg(not(test))] const A: &[u8] = br#"two"#;
        "##;
        let words = lex(source).unwrap().words;
        let texts: Vec<_> =
            words.iter().filter(|word| word.kind == WordKind::Text).map(|w| &w.text).collect();
        assert_eq!(texts, ["one", "two"]);
        let feature = words.iter().find(|word| word.kind == WordKind::Feature).unwrap();
        assert_eq!((feature.text.as_str(), feature.line), ("driver-x", 4));
    }
}
