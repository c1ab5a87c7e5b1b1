//! The dependencies of a package from elsewhere, each by itself: nothing is had from a workspace any more, a crate of ours is
//! ours, and a package that a path leads to lies beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value};

use super::adopt::is_inherited;

/// Where a package has what it says `workspace = true` for.
pub(super) struct Home {
    /// Its directory.
    pub(super) root: PathBuf,
    /// Its `Cargo.toml`.
    pub(super) document: DocumentMut,
}

/// The tables that a library is built with.
const TABLES: [&str; 2] = ["dependencies", "build-dependencies"];
/// What says where a dependency comes from.
const SOURCES: [&str; 8] = ["path", "version", "git", "rev", "branch", "tag", "registry", "registry-index"];

/// Rewrites all of them; the directories of packages that paths lead to are added to `beside`.
pub(super) fn dependencies(
    document: &mut DocumentMut,
    directory: &Path,
    home: Option<&Home>,
    ours: &BTreeSet<String>,
    beside: &mut Vec<PathBuf>,
) -> Result<(), String> {
    let mut context = Context { directory, home, ours, beside };
    context.tables(document.as_table_mut())?;
    let Some(targets) = document.get_mut("target").and_then(Item::as_table_like_mut) else { return Ok(()) };
    for (_, target) in targets.iter_mut() {
        if let Some(target) = target.as_table_like_mut() {
            target.remove("dev-dependencies");
            context.tables(target)?;
        }
    }
    Ok(())
}

struct Context<'a> {
    directory: &'a Path,
    home: Option<&'a Home>,
    ours: &'a BTreeSet<String>,
    beside: &'a mut Vec<PathBuf>,
}

impl Context<'_> {
    fn tables(&mut self, parent: &mut dyn TableLike) -> Result<(), String> {
        for table in TABLES {
            let Some(table) = parent.get_mut(table).and_then(Item::as_table_like_mut) else { continue };
            for (name, item) in table.iter_mut() {
                let one = self.one(name.get(), item)?;
                *item = Item::Value(Value::InlineTable(one));
            }
        }
        Ok(())
    }

    fn one(&mut self, name: &str, item: &Item) -> Result<InlineTable, String> {
        let own = spelled(item)
            .ok_or_else(|| format!("the dependency `{name}` is neither a version nor a table"))?;
        let (mut one, from) = match self.home.filter(|_| is_inherited(&own)) {
            Some(home) => (self.inherited(name, &own, home)?, home.root.as_path()),
            None if is_inherited(&own) => {
                return Err(format!("the dependency `{name}` is had from no workspace"));
            }
            None => (own, self.directory),
        };
        let package = one.get("package").and_then(Value::as_str).unwrap_or(name).to_owned();
        let path = one.get("path").and_then(Value::as_str).map(|path| from.join(path));
        let is_ours = self.ours.contains(&package);
        if is_ours || path.is_some() {
            for key in SOURCES {
                one.remove(key);
            }
            one.insert("path", format!("../{package}").into());
        }
        if let Some(path) = path.filter(|_| !is_ours) {
            self.beside.push(path);
        }
        Ok(one)
    }

    /// What the workspace says, with the features that the package adds.
    fn inherited(&self, name: &str, own: &InlineTable, home: &Home) -> Result<InlineTable, String> {
        let table = home.document.get("workspace").and_then(|workspace| workspace.get("dependencies"));
        let theirs = table.and_then(|table| table.get(name)).and_then(spelled);
        let mut one = theirs.ok_or_else(|| format!("its workspace has no dependency `{name}`"))?;
        let features = |table: &InlineTable| -> Vec<String> {
            let list = table.get("features").and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let mut all = features(&one);
        all.extend(features(own));
        all.sort();
        all.dedup();
        if !all.is_empty() {
            one.insert("features", Value::Array(all.into_iter().collect::<Array>()));
        }
        if let Some(optional) = own.get("optional") {
            one.insert("optional", optional.clone());
        }
        // A package may switch the defaults on again, and never off.
        if own.get("default-features").and_then(Value::as_bool) == Some(true) {
            one.insert("default-features", true.into());
        }
        Ok(one)
    }
}

/// A dependency as a table, however it is written.
fn spelled(item: &Item) -> Option<InlineTable> {
    if let Some(version) = item.as_str() {
        return Some(InlineTable::from_iter([("version", Value::from(version))]));
    }
    let table = item.as_table_like()?;
    let pairs = table.iter().filter_map(|(key, item)| Some((key.to_owned(), item.as_value()?.clone())));
    Some(InlineTable::from_iter(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dependencies of a package at `/acme/driver`, in the workspace `/acme`, and what lies beside it.
    fn rewritten(package: &str) -> Result<(String, Vec<PathBuf>), String> {
        let home = "[workspace.dependencies]\n\
                    openshell-driver-api = { path = \"../main/crates/openshell-driver-api\", default-features = false }\n\
                    tokio = { version = \"1\", default-features = false, features = [\"sync\"] }\n\
                    acme-sdk = { path = \"sdk\" }\n";
        let home = Home { root: "/acme".into(), document: home.parse().expect("TOML") };
        let mut document: DocumentMut = package.parse().expect("TOML");
        let (ours, mut beside) = (BTreeSet::from(["openshell-driver-api".to_owned()]), Vec::new());
        dependencies(&mut document, Path::new("/acme/driver"), Some(&home), &ours, &mut beside)?;
        Ok((document.to_string(), beside))
    }

    #[test]
    fn what_is_had_from_a_workspace_is_written_out() {
        let (text, beside) = rewritten(
            "[dependencies]\ntokio = { workspace = true, features = [\"time\"], optional = true }\nbytes = \"1\"\n",
        )
        .expect("it is");
        let read: toml::Table = text.parse().expect("TOML");
        let tokio = &read["dependencies"]["tokio"];
        assert_eq!(tokio["version"].as_str(), Some("1"));
        assert_eq!(tokio["features"].as_array().map(Vec::len), Some(2));
        assert!(
            tokio["optional"].as_bool() == Some(true) && tokio["default-features"].as_bool() == Some(false)
        );
        assert_eq!(read["dependencies"]["bytes"]["version"].as_str(), Some("1"));
        assert!(beside.is_empty());
    }

    #[test]
    fn ours_are_ours_and_others_lie_beside_it() {
        let (text, beside) = rewritten(
            "[dependencies]\nopenshell-driver-api.workspace = true\nacme-sdk.workspace = true\n\
             [target.'cfg(unix)'.dependencies]\napi = { package = \"openshell-driver-api\", version = \"0.1\" }\n\
             [build-dependencies]\nhelper = { path = \"../helper\", version = \"2\" }\n",
        )
        .expect("it is");
        let read: toml::Table = text.parse().expect("TOML");
        let api = &read["dependencies"]["openshell-driver-api"];
        assert_eq!(api["path"].as_str(), Some("../openshell-driver-api"));
        assert_eq!(api["default-features"].as_bool(), Some(false));
        let renamed = &read["target"]["cfg(unix)"]["dependencies"]["api"];
        assert_eq!(renamed["path"].as_str(), Some("../openshell-driver-api"));
        assert!(renamed.get("version").is_none());
        assert_eq!(read["build-dependencies"]["helper"]["path"].as_str(), Some("../helper"));
        let beside: Vec<_> = beside.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        assert_eq!(beside, ["/acme/sdk", "/acme/driver/../helper"]);
    }

    #[test]
    fn what_no_workspace_has_is_said() {
        let fault = rewritten("[dependencies]\nserde.workspace = true\n").expect_err("it is not there");
        assert_eq!(fault, "its workspace has no dependency `serde`");
    }
}
