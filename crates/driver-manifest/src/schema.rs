//! The schema of `drivers.toml` as data: the reader refuses what is not in it, and the JSON Schema for editors is made of
//! it. What a table cannot say (which keys go together) is in the checks.

/// A key of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// Whether every table has it.
    pub required: bool,
    /// One line about it.
    pub meaning: &'static str,
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A text.
    Text,
    /// One of these texts.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// A list of texts.
    Texts,
    /// A table with these keys.
    Table(&'static [Key]),
    /// A text or a table with these keys.
    TextOrTable(&'static [Key]),
    /// A list of tables with these keys: `[[name]]`.
    Tables(&'static [Key]),
    /// A table of tables with these keys: `[name.<name>]`.
    Named(&'static [Key]),
    /// A table of flags by name: `name = true`.
    Flags,
}

/// The form of the names of drivers, options and presets, as a regular expression.
pub const NAME_PATTERN: &str = "^[a-z][a-z0-9-]*$";

/// The kinds of driver.
pub const KINDS: &[&str] = &["in-tree", "process", "socket", "crate"];

const fn key(name: &'static str, takes: Takes, meaning: &'static str) -> Key {
    Key { name, takes, required: false, meaning }
}

const fn required(name: &'static str, takes: Takes, meaning: &'static str) -> Key {
    Key { name, takes, required: true, meaning }
}

/// The keys of the file.
pub const MANIFEST: &[Key] = &[
    required("driver", Takes::Tables(DRIVER), "the drivers, in the order of auto-detection"),
    key("budget", Takes::Table(DEFAULT_BUDGET), "what the gateway of the default features may cost"),
    key("option", Takes::Named(OPTION), "switches that are not drivers"),
    key("preset", Takes::Named(PRESET), "selections that have a name"),
    key("defaults", Takes::Flags, "other defaults of the main manifest's drivers and options; in overlays"),
];

/// The keys of `[[driver]]`.
pub const DRIVER: &[Key] = &[
    required("name", Takes::Text, "the name that users choose it by, and of its feature `driver-<name>`"),
    required("summary", Takes::Text, "one line for lists and errors"),
    key("docs", Takes::TextOrTable(DOCS), "for the tables of the documentation"),
    required("kind", Takes::Word(KINDS), "how its code and the gateway meet"),
    key("package", Takes::Text, "the crate; for the kinds in-tree, process and crate"),
    key("path", Takes::Text, "the directory of a foreign crate, inside the workspace; for the kind crate"),
    key("version", Takes::Text, "the version of a foreign crate in the registry; for the kind crate"),
    key("git", Takes::Text, "the repository of a foreign crate; for the kind crate, in overlays"),
    key("rev", Takes::Text, "the full id of a commit of `git`"),
    key("socket", Takes::Text, "where it listens; for the kind socket. Without it the operator says so"),
    key(
        "detect",
        Takes::Flag,
        "has a probe and takes part in auto-detection; for the kinds in-tree and crate",
    ),
    key("before", Takes::Text, "the driver that it comes before in the order; in overlays"),
    key("after", Takes::Text, "the driver that it comes after in the order; in overlays"),
    key("default", Takes::Flag, "in the default features; unless said, those in-tree and process are"),
    key(
        "platforms",
        Takes::Texts,
        "cfg words, one of which has to hold where it runs; unless said, everywhere",
    ),
    key("owns", Takes::Texts, "crates that only this driver may bring in, by any path"),
    key(
        "guest",
        Takes::Texts,
        "packages of this workspace whose one program runs inside its sandboxes: linked static, left beside its program",
    ),
    key(
        "supervisor",
        Takes::Flag,
        "puts the gateway's supervisor into its sandboxes; for the kind process, others say it in their code",
    ),
    key("evidence", Takes::Table(EVIDENCE), "what betrays it in a binary"),
    key("budget", Takes::Table(BUDGET), "what a selection of it may cost"),
];

/// The keys of `docs`.
pub const DOCS: &[Key] = &[
    required("runs", Takes::Text, "where its sandboxes run"),
    required("boundary", Takes::Text, "what separates them from the host"),
];

/// The keys of `evidence`.
pub const EVIDENCE: &[Key] = &[required("texts", Takes::Texts, "texts that nothing else puts into a binary")];

/// The keys of `budget`.
pub const BUDGET: &[Key] = &[
    key("crates", Takes::Number, "crates of a gateway with this driver alone"),
    key("bytes", Takes::Number, "bytes of that gateway in the release profile"),
    key("crates_percent", Takes::Number, "its crates in percent of those with every driver"),
    key("bytes_percent", Takes::Number, "its bytes in percent of those with every driver"),
];

/// The keys of the file's own `[budget]`.
pub const DEFAULT_BUDGET: &[Key] = &[
    key("crates", Takes::Number, "crates of that gateway, its options' among them"),
    key("bytes", Takes::Number, "bytes of it in the release profile"),
];

/// The keys of `[option.<name>]`.
pub const OPTION: &[Key] = &[
    required("summary", Takes::Text, "one line for lists"),
    key("features", Takes::Texts, "features of our crates that it turns on, as `package/feature`"),
    key("env", Takes::Text, "the variable that says whether code that is there acts"),
    key("default", Takes::Flag, "in the default features; unless said, it is not"),
    key("owns", Takes::Texts, "crates that only this option may bring in"),
    key("evidence", Takes::Table(EVIDENCE), "what betrays it in a binary"),
];

/// The keys of `[preset.<name>]`.
pub const PRESET: &[Key] = &[
    required("drivers", Takes::Texts, "names of drivers"),
    key("options", Takes::Texts, "options to switch: `name` is on, `-name` is off"),
];
