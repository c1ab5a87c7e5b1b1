//! What a build is held to: the budget of its driver, where it has one driver alone. A budget is of the gateway without
//! options, so that crates are counted for that one whatever options are built, and bytes where no option is on.

use driver_manifest::{Assembly, Driver, Selection};

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

impl<'a> Budgeted<'a> {
    /// The driver whose budget it is: the only one that was named, when it has one.
    pub(crate) fn driver(&self) -> Option<&'a Driver> {
        let driver = alone(self.assembly, self.selection)?;
        (driver.budget.crates.is_some() || driver.budget.bytes.is_some()).then_some(driver)
    }

    /// Asked before anything is compiled: the graph is enough.
    pub(crate) fn hold_crates(&self, driver: &Driver, target: Option<&str>, offline: bool) -> Result<()> {
        let Some(most) = driver.budget.crates else { return Ok(()) };
        let bare = selection::without_options(self.assembly, self.selection)?;
        let target = target.map(ToOwned::to_owned);
        let mut crates = Crates::of_target(self.workspace, self.assembly, target, offline)?;
        self.hold(driver, "crates", crates.of_gateway(&bare)?, most)
    }

    /// Asked when the gateway is there and not yet in its place.
    pub(crate) fn hold_bytes(&self, driver: &Driver, profile: &Profile, bytes: u64) -> Result<()> {
        match driver.budget.bytes {
            Some(most) if profile.name() == PROFILE && self.selection.options.is_empty() => {
                self.hold(driver, "bytes", bytes, most)
            }
            _ => Ok(()),
        }
    }

    fn hold(&self, driver: &Driver, unit: &str, figure: u64, most: u64) -> Result<()> {
        if figure <= most {
            return Ok(());
        }
        let bare = selection::without_options(self.assembly, self.selection)?;
        let grown = Golden::load(self.workspace, self.assembly)?.grown(&bare)?;
        Err(Error::Unagreed {
            message: said(&driver.name, unit, figure, most, grown),
            hint: format!(
                "raise `budget` of `{}` in {MANIFEST} if that is meant; --no-verify builds without it",
                driver.name
            ),
        })
    }
}

/// The only driver of a selection that was named; what it implies was not.
pub(super) fn alone<'a>(assembly: &'a Assembly, selection: &Selection) -> Option<&'a Driver> {
    let mut named = selection.drivers.iter().filter(|name| !selection.implied.contains(name));
    let first = named.next()?;
    if named.next().is_none() { assembly.driver(first) } else { None }
}

/// The text of a budget that is exceeded; `grown` is the golden list and what is new since.
fn said(name: &str, unit: &str, figure: u64, most: u64, grown: Option<(String, Vec<String>)>) -> String {
    let over = figure - most;
    let mut text =
        format!("the gateway with `{name}` alone has {figure} {unit}, {over} more than its budget of {most}");
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
    fn only_a_build_of_one_driver_has_a_budget() {
        let manifest = "[[driver]]\nname = \"a\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"p\"\n\
                        budget = { crates = 10 }\n\
                        [[driver]]\nname = \"b\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"q\"\n\
                        [[driver]]\nname = \"behind\"\nsummary = \"x\"\nkind = \"socket\"\nbudget = { bytes = 9 }\n\
                        [[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n";
        let assembly = &selection::parse_manifest(manifest.as_bytes()).expect("a manifest without a fault");
        let workspace = &Workspace::at(std::path::Path::new("/nowhere"));
        let driver = |word: &str| {
            let selection = &selection::written(assembly, word).expect("a selection");
            Budgeted { workspace, assembly, selection }.driver().map(|driver| driver.name.clone())
        };
        assert_eq!(driver("a").as_deref(), Some("a"));
        assert_eq!(driver("b"), None, "it has none");
        assert_eq!(driver("behind").as_deref(), Some("behind"), "what it implies was not named");
        assert_eq!(driver("a,b"), None);
    }

    #[test]
    fn it_says_by_how_much_and_what_is_new() {
        let grown = Some(("list.txt".to_owned(), vec!["+ sdk 1.0.0 by a → sdk".to_owned()]));
        assert_eq!(
            said("a", "crates", 12, 10, grown),
            "the gateway with `a` alone has 12 crates, 2 more than its budget of 10\n  \
             new since `list.txt` was written:\n  + sdk 1.0.0 by a → sdk"
        );
        assert!(
            said("a", "bytes", 12, 10, Some(("l".to_owned(), vec![])))
                .ends_with("no crate is new since `l` was written")
        );
    }
}
