//! The generated Rust: tables and arms, no logic. Whatever decides something is written by hand elsewhere.

mod arms;
mod catalog;
mod programs;

use proc_macro2::TokenStream;
use quote::quote;

use crate::layout::rust_header;

pub(crate) use arms::server_arms;
pub(crate) use catalog::{program_catalog, server_catalog};
pub(crate) use programs::program_main;

/// Tokens as the text of a file, under the header and the words about what it holds.
fn file(about: &str, tokens: TokenStream) -> String {
    with_attributes(about, "", tokens)
}

/// [`file`] for the root of a crate, which no `mod` line keeps from rustfmt.
fn root_file(about: &str, tokens: TokenStream) -> String {
    with_attributes(about, "\n#![cfg_attr(rustfmt, rustfmt::skip)]\n", tokens)
}

fn with_attributes(about: &str, attributes: &str, tokens: TokenStream) -> String {
    let header = rust_header();
    match syn::parse2::<syn::File>(tokens) {
        Ok(parsed) => format!("{header}//!\n//! {about}\n{attributes}\n{}", unparse(parsed)),
        // A template of ours that is no Rust: shown as what it is, and the tests of every template catch it.
        Err(error) => format!("{header}\ncompile_error!({:?});\n", error.to_string()),
    }
}

/// The items with an empty line between them, which prettyplease does not leave; imports stand together.
fn unparse(file: syn::File) -> String {
    let mut text = String::new();
    let mut after_use = None;
    for item in file.items {
        let is_use = matches!(item, syn::Item::Use(_));
        let together = is_use && after_use == Some(true);
        if after_use.is_some() && !together {
            text.push('\n');
        }
        after_use = Some(is_use);
        text.push_str(&prettyplease::unparse(&syn::File {
            shebang: None,
            attrs: Vec::new(),
            items: vec![item],
        }));
    }
    text
}

/// The conditions as one that holds where any of them does.
fn any_of(conditions: &[TokenStream]) -> TokenStream {
    match conditions {
        [one] => one.clone(),
        many => quote!(any(#(#many),*)),
    }
}

/// A cfg predicate as tokens; the empty one holds everywhere.
fn predicate(text: &str) -> TokenStream {
    text.parse().unwrap_or_else(|_| quote!(any()))
}

/// The crate of a package as Rust sees it.
fn crate_ident(package: &str) -> proc_macro2::Ident {
    quote::format_ident!("{}", package.replace('-', "_"))
}
