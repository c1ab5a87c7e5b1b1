//! What a build is held to: the budget of its driver, where it has one driver alone, or that of the default gateway. A
//! driver's is of the gateway without options, so that crates are counted for that one whatever options are built, and
//! bytes where no option is on; the default gateway has the default options, and is counted with them.

use driver_manifest::{Assembly, Budget, Driver, Selection};

use super::crates::Crates;
use super::golden::Golden;
use crate::build::Profile;
use crate::error::{Error, Result};
use crate::selection;
use crate::workspace::{MANIFEST, Workspace};

/// The profile that a budget of bytes is about.
const PROFILE: &str = "release";

/// A build that may have a budget.
pub(crate) struct Budgeted<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) assembly: &'a Assembly,
    pub(crate) selection: &'a Selection,
}

/// A budget, and the gateway that it is of.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    budget: Budget,
    /// The driver that has it; `None`: the default gateway.
    driver: Option<String>,
    /// What is counted.
    counted: Selection,
}

impl Bound {
    /// Whose crates or bytes are too many.
    fn gateway(&self) -> String {
        match &self.driver {
            Some(driver) => format!("the gateway with `{driver}` alone"),
            None => "the default gateway".to_owned(),
        }
    }

    /// The key that bounds it.
    fn key(&self) -> String {
        match &self.driver {
            Some(driver) => format!("`budget` of `{driver}`"),
            None => "`[budget]`".to_owned(),
        }
    }
}

impl Budgeted<'_> {
    /// What bounds it: the budget of the only driver that was named, else that of the default gateway, where it is that.
    pub(crate) fn bound(&self) -> Result<Option<Bound>> {
        let bounds = |budget: &Budget| budget.crates.is_some() || budget.bytes.is_some();
        if let Some(driver) = alone(self.assembly, self.selection).filter(|driver| bounds(&driver.budget)) {
            let counted = selection::without_options(self.assembly, self.selection)?;
            let (budget, driver) = (driver.budget, Some(driver.name.clone()));
            return Ok(Some(Bound { budget, driver, counted }));
        }
        let budget = self.assembly.budget;
        let is_default = is_default(self.assembly, self.selection) && bounds(&budget);
        Ok(is_default.then(|| Bound { budget, driver: None, counted: self.selection.clone() }))
    }

    /// Asked before anything is compiled: the graph is enough.
    pub(crate) fn hold_crates(&self, bound: &Bound, target: Option<&str>, offline: bool) -> Result<()> {
        let Some(most) = bound.budget.crates else { return Ok(()) };
        let target = target.map(ToOwned::to_owned);
        let mut crates = Crates::of_target(self.workspace, self.assembly, target, offline)?;
        self.hold(bound, "crates", crates.of_gateway(&bound.counted)?, most)
    }

    /// Asked when the gateway is there and not yet in its place.
    pub(crate) fn hold_bytes(&self, bound: &Bound, profile: &Profile, bytes: u64) -> Result<()> {
        match bound.budget.bytes {
            Some(most) if profile.name() == PROFILE && self.selection.options == bound.counted.options => {
                self.hold(bound, "bytes", bytes, most)
            }
            _ => Ok(()),
        }
    }

    fn hold(&self, bound: &Bound, unit: &str, figure: u64, most: u64) -> Result<()> {
        if figure <= most {
            return Ok(());
        }
        let grown = Golden::load(self.workspace, self.assembly)?.grown(&bound.counted)?;
        Err(Error::Unagreed {
            message: said(&bound.gateway(), unit, figure, most, grown),
            hint: format!(
                "raise {} in {MANIFEST} if that is meant; --no-verify builds without it",
                bound.key()
            ),
        })
    }
}

/// Whether a selection is the one of the default features, with their options.
pub(super) fn is_default(assembly: &Assembly, selection: &Selection) -> bool {
    let default = assembly.default_selection();
    (&default.drivers, &default.options) == (&selection.drivers, &selection.options)
}

/// The only driver of a selection that was named; what it implies was not.
pub(super) fn alone<'a>(assembly: &'a Assembly, selection: &Selection) -> Option<&'a Driver> {
    let mut named = selection.drivers.iter().filter(|name| !selection.implied.contains(name));
    let first = named.next()?;
    if named.next().is_none() { assembly.driver(first) } else { None }
}

/// The text of a budget that is exceeded; `grown` is the golden list and what is new since.
fn said(gateway: &str, unit: &str, figure: u64, most: u64, grown: Option<(String, Vec<String>)>) -> String {
    let over = figure - most;
    let mut text = format!("{gateway} has {figure} {unit}, {over} more than its budget of {most}");
    match grown {
        None => {}
        Some((path, grown)) if grown.is_empty() => {
            text.push_str(&format!("\n  no crate is new since `{path}` was written"));
        }
        Some((path, grown)) => {
            text.push_str(&format!("\n  new since `{path}` was written:"));
            grown.iter().for_each(|line| text.push_str(&format!("\n  {line}")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_of_one_driver_has_its_budget_and_the_default_one_has_its_own() {
        let manifest = "[budget]\ncrates = 20\n[[driver]]\nname = \"a\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"p\"\n\
                        budget = { crates = 10 }\n\
                        [[driver]]\nname = \"b\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"q\"\n\
                        [[driver]]\nname = \"behind\"\nsummary = \"x\"\nkind = \"socket\"\nbudget = { bytes = 9 }\n\
                        [[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n\
                        [option.o]\nsummary = \"x\"\ndefault = true\n";
        let assembly = &selection::parse_manifest(manifest.as_bytes()).expect("a manifest without a fault");
        let workspace = &Workspace::at(std::path::Path::new("/nowhere"));
        let bound = |selection: &Selection| {
            let bound = Budgeted { workspace, assembly, selection }.bound().expect("it can be said");
            bound.map(|bound| (bound.key(), bound.counted.options.len()))
        };
        let of = |word: &str| bound(&selection::written(assembly, word).expect("a selection"));
        assert_eq!(of("a"), Some(("`budget` of `a`".to_owned(), 0)));
        assert_eq!(of("b"), None, "it has none");
        assert_eq!(
            of("behind"),
            Some(("`budget` of `behind`".to_owned(), 0)),
            "what it implies was not named"
        );
        assert_eq!(of("a,b"), Some(("`[budget]`".to_owned(), 1)), "the default features, and their option");
        assert_eq!(of("a,b,external"), None);
        let bare =
            selection::without_options(assembly, &assembly.default_selection()).expect("it can be had");
        assert_eq!(bound(&bare), None, "without the option it is another gateway");
    }

    #[test]
    fn it_says_by_how_much_and_what_is_new() {
        let grown = Some(("list.txt".to_owned(), vec!["+ sdk 1.0.0 by a → sdk".to_owned()]));
        assert_eq!(
            said("the gateway with `a` alone", "crates", 12, 10, grown),
            "the gateway with `a` alone has 12 crates, 2 more than its budget of 10\n  \
             new since `list.txt` was written:\n  + sdk 1.0.0 by a → sdk"
        );
        assert!(
            said("a", "bytes", 12, 10, Some(("l".to_owned(), vec![])))
                .ends_with("no crate is new since `l` was written")
        );
    }
}
