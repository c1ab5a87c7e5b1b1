//! The files of a new driver: the templates with the driver's own words in them. A test makes a driver of them, builds it and
//! holds it to the contract, so that they keep compiling.

/// What differs between one driver and another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    /// The driver.
    pub(super) name: &'a str,
    /// Its crate.
    pub(super) package: &'a str,
    /// One line about it.
    pub(super) summary: &'a str,
    /// The way from its repository to this workspace.
    pub(super) workspace: &'a str,
}

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Where, below the driver's directory.
    pub(super) path: &'static str,
    /// What it holds.
    pub(super) text: String,
    /// Whether it is a program.
    pub(super) is_program: bool,
}

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../templates/driver/", $path))
    };
}

/// The crate itself, the same wherever it lies.
const CRATE: [(&str, &str); 5] = [
    ("src/lib.rs", template!("crate/src/lib.rs")),
    ("src/backend.rs", template!("crate/src/backend.rs")),
    ("src/config.rs", template!("crate/src/config.rs")),
    ("src/driver.rs", template!("crate/src/driver.rs")),
    ("tests/contract.rs", template!("crate/tests/contract.rs")),
];

const IN_TREE: [(&str, &str); 2] =
    [("Cargo.toml", template!("in-tree/Cargo.toml")), ("README.md", template!("in-tree/README.md"))];

/// What a repository of its own has around the crate.
const OWN: [(&str, &str); 9] = [
    ("Cargo.toml", template!("own/Cargo.toml")),
    ("README.md", template!("own/README.md")),
    (".gitignore", template!("own/gitignore")),
    ("rustfmt.toml", template!("own/rustfmt.toml")),
    ("ci/run", template!("own/ci/run")),
    (".github/workflows/ci.yml", template!("own/ci/workflow.yml")),
    ("driver/Cargo.toml", template!("own/driver.toml")),
    ("program/Cargo.toml", template!("own/program/Cargo.toml")),
    ("program/src/main.rs", template!("own/program/main.rs")),
];

/// The crate's files as they lie in a repository of its own.
const OWN_CRATE: [&str; 5] = [
    "driver/src/lib.rs",
    "driver/src/backend.rs",
    "driver/src/config.rs",
    "driver/src/driver.rs",
    "program/tests/contract.rs",
];

/// The files of a crate of this workspace.
pub(super) fn in_tree(words: &Words<'_>) -> Vec<File> {
    IN_TREE.into_iter().chain(CRATE).map(|(path, template)| file(path, template, words)).collect()
}

/// The files of a repository of its own; it begins with this workspace's `lock`, so that it is built with the versions
/// that are tested here.
pub(super) fn out_of_tree(words: &Words<'_>, lock: &str) -> Vec<File> {
    let of_crate = OWN_CRATE.into_iter().zip(CRATE).map(|(path, (_, template))| (path, template));
    let mut files: Vec<File> =
        OWN.into_iter().chain(of_crate).map(|(path, template)| file(path, template, words)).collect();
    files.push(File { path: "Cargo.lock", text: lock.to_owned(), is_program: false });
    files
}

fn file(path: &'static str, template: &str, words: &Words<'_>) -> File {
    let text = template
        .replace("{{name}}", words.name)
        .replace("{{package}}", words.package)
        .replace("{{crate}}", &words.package.replace('-', "_"))
        .replace("{{summary}}", words.summary)
        .replace("{{workspace}}", words.workspace);
    File { path, text, is_program: template.starts_with("#!") && !path.ends_with(".rs") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Words<'_> =
        Words { name: "ky-ma", package: "openshell-driver-ky-ma", summary: "s", workspace: "../main" };

    #[test]
    fn no_placeholder_is_left() {
        for file in in_tree(&WORDS).into_iter().chain(out_of_tree(&WORDS, "")) {
            for word in ["name", "package", "crate", "summary", "workspace"] {
                assert!(!file.text.contains(&format!("{{{{{word}}}}}")), "{word} in {}", file.path);
            }
            assert_eq!(file.is_program, file.path == "ci/run", "{}", file.path);
            if file.path.ends_with(".toml") {
                let read: Result<toml::Table, _> = file.text.parse();
                assert!(read.is_ok(), "{}: {read:?}", file.path);
            }
        }
    }

    #[test]
    fn the_crate_is_the_same_wherever_it_lies() {
        let own = out_of_tree(&WORDS, "");
        for ((path, _), own_path) in CRATE.into_iter().zip(OWN_CRATE) {
            let text = |files: &[File], wanted: &str| {
                files.iter().find(|file| file.path == wanted).map(|file| file.text.clone())
            };
            assert!(own_path.ends_with(path) && text(&own, own_path).is_some(), "{path}");
            assert_eq!(text(&in_tree(&WORDS), path), text(&own, own_path), "{path}");
        }
    }
}
