//! Applies a [`CargoEdit`] to the text of a `Cargo.toml`.

use std::collections::BTreeSet;

use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value};

use super::table::{array, remove, remove_if_empty, reorder, set, table, table_mut, texts};
use super::{
    CargoEdit, CargoTomlError, DRIVER_FEATURE, Dependency, Enables, PROGRAM_SOURCES, Program, Source,
};

impl CargoEdit {
    /// The text with our keys as they have to be.
    ///
    /// # Errors
    /// When the text does not parse, or a hand-written part of it is in the way.
    pub fn apply(&self, text: &str) -> Result<String, CargoTomlError> {
        let mut document = parse(text)?;
        self.dependencies(&mut document)?;
        self.features(&mut document)?;
        self.programs(&mut document)?;
        Ok(document.to_string())
    }

    fn dependencies(&self, document: &mut DocumentMut) -> Result<(), CargoTomlError> {
        let owned = owned_dependencies(document);
        for (platform, package) in &owned {
            let wanted = self.dependencies.iter().any(|wanted| wanted.is_at(package, platform.as_deref()));
            if !wanted {
                let path = path_of(platform.as_deref());
                remove(document, &path, package)?;
                if platform.is_some() {
                    remove_if_empty(document, &path)?;
                }
            }
        }
        for dependency in &self.dependencies {
            let key = target_key(dependency.platform.as_deref());
            let table = table_mut(document, &path_of(key.as_deref()))?;
            if let Some(item) = table.get(&dependency.package)
                && !is_optional(item)
            {
                return Err(CargoTomlError::NotOptional(dependency.package.clone()));
            }
            dependency.put(table);
        }
        Ok(())
    }

    fn features(&self, document: &mut DocumentMut) -> Result<(), CargoTomlError> {
        let direct = direct_dependencies(document);
        let is_ours = |name: &str| {
            name.starts_with(DRIVER_FEATURE) || self.gone_options.iter().any(|gone| gone == name)
        };
        let wanted: Vec<&str> = self.features.iter().map(|feature| feature.name.as_str()).collect();
        let gone: Vec<String> = table_mut(document, &["features"])?
            .iter()
            .map(|(key, _)| key.to_owned())
            .filter(|key| is_ours(key) && !wanted.contains(&key.as_str()))
            .collect();
        for key in gone {
            remove(document, &["features"], &key)?;
        }
        let table = table_mut(document, &["features"])?;
        for feature in &self.features {
            let enables: Vec<String> =
                feature.enables.iter().filter_map(|enables| enables.text(&direct)).collect();
            if table.get(&feature.name).and_then(texts).as_ref() != Some(&enables) {
                set(table, &feature.name, array(&feature.name, &enables));
            }
        }
        let order = interleave(&keys(table), &wanted);
        reorder(table, &order);
        Ok(())
    }

    fn programs(&self, document: &mut DocumentMut) -> Result<(), CargoTomlError> {
        if self.programs.is_empty() && !document.contains_key("bin") {
            return Ok(());
        }
        let item = document.entry("bin").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let tables =
            item.as_array_of_tables_mut().ok_or_else(|| CargoTomlError::NotATable("bin".to_owned()))?;
        let slots: Vec<usize> =
            (0..tables.len()).filter(|slot| tables.get(*slot).is_some_and(is_program)).collect();
        for (slot, program) in slots.iter().zip(&self.programs) {
            if let Some(table) = tables.get_mut(*slot) {
                program.put(table);
            }
        }
        for slot in slots.iter().skip(self.programs.len()).rev() {
            tables.remove(*slot);
        }
        for program in self.programs.iter().skip(slots.len()) {
            let mut table = Table::new();
            program.put(&mut table);
            tables.push(table);
        }
        if tables.is_empty() {
            document.remove("bin");
        }
        Ok(())
    }
}

impl Dependency {
    fn is_at(&self, package: &str, target: Option<&str>) -> bool {
        self.package == package && target_key(self.platform.as_deref()).as_deref() == target
    }

    fn put(&self, table: &mut Table) {
        let value = self.value();
        if table.get(&self.package).is_some_and(|item| fields(item) == fields(&Item::Value(value.clone()))) {
            return;
        }
        let new = !table.contains_key(&self.package);
        set(table, &self.package, value);
        if new {
            let order = alphabetical(&keys(table), &self.package);
            reorder(table, &order);
        }
    }

    fn value(&self) -> Value {
        let mut fields = InlineTable::new();
        match &self.source {
            Source::Workspace => {
                fields.insert("workspace", true.into());
            }
            Source::Path { path, default_features } => {
                fields.insert("path", path.as_str().into());
                if !default_features {
                    fields.insert("default-features", false.into());
                }
            }
            Source::Version(version) => {
                fields.insert("version", version.as_str().into());
            }
            Source::Git { url, rev } => {
                fields.insert("git", url.as_str().into());
                fields.insert("rev", rev.as_str().into());
            }
        }
        fields.insert("optional", true.into());
        fields.into()
    }
}

impl Program {
    fn put(&self, table: &mut Table) {
        let features = vec![self.feature.clone()];
        let values: [(&str, Value); 5] = [
            ("name", self.name.as_str().into()),
            ("path", self.path.as_str().into()),
            ("required-features", array("required-features", &features)),
            // The crate of the same name has the tests and the documentation.
            ("test", false.into()),
            ("doc", false.into()),
        ];
        let foreign: Vec<String> =
            keys(table).into_iter().filter(|key| values.iter().all(|(name, _)| name != key)).collect();
        for key in foreign {
            table.remove(&key);
        }
        for (key, value) in values {
            if table.get(key).map(literal) != Some(literal(&Item::Value(value.clone()))) {
                set(table, key, value);
            }
        }
    }
}

impl Enables {
    fn text(&self, direct: &[(String, bool)]) -> Option<String> {
        match self {
            Self::Always(text) => Some(text.clone()),
            Self::IfDirect { package, feature } => {
                let (_, optional) = direct.iter().find(|(name, _)| name == package)?;
                Some(format!("{package}{}/{feature}", if *optional { "?" } else { "" }))
            }
        }
    }
}

pub(super) fn parse(text: &str) -> Result<DocumentMut, CargoTomlError> {
    text.parse::<DocumentMut>()
        .map_err(|error| CargoTomlError::Syntax(error.to_string().trim_end().to_owned()))
}

/// Every dependency that a `driver-*` feature names with `dep:`, with the `[target.…]` that it stands under.
pub(super) fn owned_dependencies(document: &DocumentMut) -> Vec<(Option<String>, String)> {
    let named: BTreeSet<String> = table(document, &["features"])
        .into_iter()
        .flat_map(Table::iter)
        .filter(|(key, _)| key.starts_with(DRIVER_FEATURE))
        .filter_map(|(_, item)| texts(item))
        .flatten()
        .filter_map(|text| text.strip_prefix("dep:").map(str::to_owned))
        .collect();
    let mut owned = Vec::new();
    for (target, dependencies) in dependency_tables(document) {
        let ours = dependencies.iter().filter(|(key, item)| named.contains(*key) && is_optional(item));
        owned.extend(ours.map(|(key, _)| (target.clone(), key.to_owned())));
    }
    owned
}

/// The names of the direct dependencies, and whether each is optional.
pub(super) fn direct_dependencies(document: &DocumentMut) -> Vec<(String, bool)> {
    let tables = dependency_tables(document).into_iter();
    tables
        .flat_map(|(_, table)| table.iter().map(|(key, item)| (key.to_owned(), is_optional(item))))
        .collect()
}

fn dependency_tables(document: &DocumentMut) -> Vec<(Option<String>, &Table)> {
    let everywhere = table(document, &["dependencies"]).map(|table| (None, table));
    let targets = table(document, &["target"]).into_iter().flat_map(Table::iter).filter_map(|(key, item)| {
        let dependencies = item.as_table()?.get("dependencies")?.as_table()?;
        Some((Some(key.to_owned()), dependencies))
    });
    everywhere.into_iter().chain(targets).collect()
}

pub(super) fn is_program(table: &Table) -> bool {
    table.get("path").and_then(Item::as_str).is_some_and(|path| path.starts_with(PROGRAM_SOURCES))
}

/// A value without its comments and layout.
pub(super) fn literal(item: &Item) -> String {
    if let Some(texts) = texts(item) {
        return format!("{texts:?}");
    }
    if item.is_table_like() {
        return format!("{:?}", fields(item));
    }
    item.as_value().map(|value| value.clone().decorated("", "").to_string()).unwrap_or_default()
}

fn fields(item: &Item) -> Vec<(String, String)> {
    let mut fields: Vec<_> = item
        .as_table_like()
        .into_iter()
        .flat_map(|table| table.iter().map(|(key, item)| (key.to_owned(), literal(item))).collect::<Vec<_>>())
        .collect();
    fields.sort();
    fields
}

fn is_optional(item: &Item) -> bool {
    item.as_table_like().and_then(|table| table.get("optional")).and_then(Item::as_bool) == Some(true)
}

fn target_key(platform: Option<&str>) -> Option<String> {
    platform.map(|platform| format!("cfg({platform})"))
}

fn path_of(target: Option<&str>) -> Vec<&str> {
    match target {
        None => vec!["dependencies"],
        Some(target) => vec!["target", target, "dependencies"],
    }
}

fn keys(table: &Table) -> Vec<String> {
    table.iter().map(|(key, _)| key.to_owned()).collect()
}

/// Our keys in our order on the places that ours have now; the others keep theirs.
fn interleave(present: &[String], ours: &[&str]) -> Vec<String> {
    let mut next = ours.iter();
    present
        .iter()
        .map(|key| {
            if ours.contains(&key.as_str()) {
                next.next().map_or(key.clone(), |key| (*key).to_owned())
            } else {
                key.clone()
            }
        })
        .collect()
}

/// The present order with `new`, which is its last key, before the first key that sorts behind it.
fn alphabetical(present: &[String], new: &str) -> Vec<String> {
    let mut order: Vec<String> = present.iter().filter(|key| *key != new).cloned().collect();
    let place = order.iter().position(|key| key.as_str() > new).unwrap_or(order.len());
    order.insert(place, new.to_owned());
    order
}
