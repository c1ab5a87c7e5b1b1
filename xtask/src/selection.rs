//! Which drivers and options a command is about: the flags that say so, what they come to, and the selections that
//! checks go through. The rules are `driver-manifest`'s; this file only asks.

mod from_config;
mod named;
mod written;

use std::path::PathBuf;

use clap_complete::ArgValueCompleter;
use driver_manifest::{Assembly, Context, Report, Request, SelectError, Selection, Style};

pub(crate) use named::{Named, named};
pub(crate) use written::{ALL, DEFAULT, written};

use crate::completions;
use crate::error::{Error, Result};
use crate::workspace::{MANIFEST, Workspace};

/// Up to so many drivers every subset is gone through; beyond, each alone, each pair, and all.
const EVERY_SUBSET: usize = 5;

/// The flags that name drivers and options.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SelectionArgs {
    /// The drivers, by name
    #[arg(long, value_name = "NAMES", value_delimiter = ',', add = ArgValueCompleter::new(completions::drivers))]
    drivers: Vec<String>,
    /// A preset of drivers.toml
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(completions::presets))]
    preset: Option<String>,
    /// Every driver
    #[arg(long)]
    all: bool,
    /// The drivers that this gateway.toml needs
    #[arg(long, value_name = "FILE", conflicts_with_all = ["drivers", "preset", "all"])]
    from_config: Option<PathBuf>,
    /// Switch an option on
    #[arg(long, value_name = "NAMES", value_delimiter = ',', add = ArgValueCompleter::new(completions::options))]
    with_option: Vec<String>,
    /// Switch an option off
    #[arg(long, value_name = "NAMES", value_delimiter = ',', add = ArgValueCompleter::new(completions::options))]
    without_option: Vec<String>,
}

impl SelectionArgs {
    /// Whether anything says which drivers a gateway is to have.
    pub(crate) fn names_drivers(&self) -> bool {
        !self.drivers.is_empty() || self.preset.is_some() || self.all || self.from_config.is_some()
    }

    /// What the flags come to, and what is to be said about it.
    pub(crate) fn resolve(&self, assembly: &Assembly) -> Result<(Selection, Vec<String>)> {
        self.resolve_with(assembly, None)
    }

    /// The same with drivers that need not be named; where there is a list of them and nothing else is named, these or,
    /// if it is empty, the default ones.
    pub(crate) fn resolve_with(
        &self,
        assembly: &Assembly,
        also: Option<Vec<String>>,
    ) -> Result<(Selection, Vec<String>)> {
        let mut notes = Vec::new();
        let mut request = Request {
            drivers: self.drivers.clone(),
            preset: self.preset.clone(),
            all: self.all,
            also: also.clone().unwrap_or_default(),
            with_options: self.with_option.clone(),
            without_options: self.without_option.clone(),
        };
        if also.is_some_and(|also| also.is_empty()) && !self.names_drivers() {
            request.drivers = assembly.default_selection().drivers;
        }
        if let Some(path) = &self.from_config {
            let needed = from_config::needed(path, assembly)?;
            request.drivers = needed.drivers;
            notes.push(needed.note);
        }
        let selected = assembly.select(&request).map_err(|errors| refusal(&errors));
        let selected = selected.map_err(|error| match &self.from_config {
            Some(path) => error.about(&path.display().to_string()),
            None => error,
        });
        Ok((selected?, notes))
    }

    /// A selection of one driver each, for programs, with the options that the flags say.
    pub(crate) fn resolve_programs(&self, assembly: &Assembly, names: &[String]) -> Result<Vec<Selection>> {
        let request = Request {
            drivers: names.to_vec(),
            with_options: self.with_option.clone(),
            without_options: self.without_option.clone(),
            ..Request::default()
        };
        let together = select(assembly, &request)?;
        let named = together.drivers.iter().filter(|name| !together.implied.contains(name));
        Ok(named.map(|name| alone(&together, name)).collect())
    }
}

/// One error of everything that is wrong with a request.
fn refusal(errors: &[SelectError]) -> Error {
    let messages: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let hints: Vec<String> = errors.iter().filter_map(SelectError::hint).collect();
    let hint = (!hints.is_empty()).then(|| hints.join("\nhint: "));
    Error::Refused { message: messages.join("\nerror: "), hint }
}

/// The manifest's bytes as an assembly; warnings go to standard error.
pub(crate) fn parse_manifest(bytes: &[u8]) -> Result<Assembly> {
    let outcome = driver_manifest::read(MANIFEST, bytes, &Context::default());
    let rendered = outcome.report.render(Style::Plain);
    match outcome.assembly {
        Some(assembly) => {
            eprint!("{rendered}");
            Ok(assembly)
        }
        None => Err(Error::Manifest { rendered: rendered + &summary(&outcome.report) }),
    }
}

/// The count, where there are more errors than a screen shows; empty where there are few.
pub(crate) fn summary(report: &Report) -> String {
    match report.errors() {
        0..=2 => String::new(),
        errors => format!("\nerror: `{MANIFEST}` has {errors} errors; nothing was done\n"),
    }
}

/// The selection of one driver of another, with the same options.
pub(crate) fn alone(selection: &Selection, name: &str) -> Selection {
    Selection {
        drivers: vec![name.to_owned()],
        options: selection.options.clone(),
        changed: selection.changed.clone(),
        ..Selection::default()
    }
}

/// What a request comes to.
pub(crate) fn select(assembly: &Assembly, request: &Request) -> Result<Selection> {
    assembly.select(request).map_err(|errors| refusal(&errors))
}

/// Every driver, options at their defaults.
pub(crate) fn everything(assembly: &Assembly) -> Result<Selection> {
    select(assembly, &Request { all: true, ..Request::default() })
}

/// The same drivers with one option switched.
pub(crate) fn switched(
    assembly: &Assembly,
    selection: &Selection,
    option: &str,
    on: bool,
) -> Result<Selection> {
    let mut request = Request { drivers: selection.drivers.clone(), ..Request::default() };
    let list = if on { &mut request.with_options } else { &mut request.without_options };
    list.push(option.to_owned());
    select(assembly, &request)
}

/// The same drivers without any option.
pub(crate) fn without_options(assembly: &Assembly, selection: &Selection) -> Result<Selection> {
    let request = Request {
        drivers: selection.drivers.clone(),
        without_options: assembly.options.iter().map(|option| option.name.clone()).collect(),
        ..Request::default()
    };
    select(assembly, &request)
}

/// The selections of drivers that checks go through, options at their defaults, small ones first.
pub(crate) fn subsets(assembly: &Assembly) -> Result<Vec<Selection>> {
    let names = assembly.names();
    let mut found: Vec<Selection> = Vec::new();
    for mask in 1_u64..1 << names.len().min(63) {
        let size = mask.count_ones() as usize;
        if names.len() > EVERY_SUBSET && size > 2 && size < names.len() {
            continue;
        }
        let drivers = names.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
        let drivers = drivers.map(|(_, name)| name.clone()).collect();
        let request = Request { drivers, ..Request::default() };
        let selection = select(assembly, &request)?;
        if !found.contains(&selection) {
            found.push(selection);
        }
    }
    found.sort_by_key(|selection| selection.drivers.len());
    Ok(found)
}

/// The options of an assembly and whether a selection has them.
pub(crate) fn option_states<'a>(
    assembly: &'a Assembly,
    selection: &'a Selection,
) -> impl Iterator<Item = (String, bool)> + 'a {
    assembly.options.iter().map(|option| (option.name.clone(), selection.options.contains(&option.name)))
}

impl Workspace {
    /// The drivers, options and presets of `drivers.toml`.
    pub(crate) fn assembly(&self) -> Result<Assembly> {
        parse_manifest(&self.manifest()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembly(drivers: usize) -> Assembly {
        let mut text = String::new();
        for number in 0..drivers {
            text.push_str(&format!(
                "[[driver]]\nname = \"d{number}\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"p{number}\"\n"
            ));
        }
        text.push_str("[[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n");
        parse_manifest(text.as_bytes()).expect("a manifest without a fault")
    }

    #[test]
    fn few_drivers_give_every_subset_and_many_give_singles_pairs_and_all() {
        assert_eq!(subsets(&assembly(1)).unwrap().len(), 3);
        assert_eq!(subsets(&assembly(4)).unwrap().len(), 31);
        assert_eq!(subsets(&assembly(5)).unwrap().len(), 6 + 15 + 1);
    }

    #[test]
    fn a_request_that_cannot_be_had_says_everything_at_once() {
        let args = SelectionArgs {
            drivers: vec!["d00".to_owned(), "nothing".to_owned()],
            with_option: vec!["x".to_owned()],
            ..SelectionArgs::default()
        };
        let Err(Error::Refused { message, hint }) = args.resolve(&assembly(1)) else {
            panic!("it is refused")
        };
        assert_eq!(message.matches("error: ").count(), 2, "{message}");
        assert!(hint.unwrap().contains("did you mean `d0`?"));
    }
}
