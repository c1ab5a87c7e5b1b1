//! No hand-written code, TOML or YAML holds a list of drivers or branches on a driver's name, outside that driver's
//! own crate and `drivers.toml`; and no `cfg` of a driver's feature is outside `generated/`.
//!
//! `external` alone may be named: it is a word of the manifest's schema, not one driver among others.

use driver_manifest::{Assembly, CrateSource, EXTERNAL, Kind};

use super::graph::Graph;
use super::lexer::{self, Word, WordKind};
use super::sources::{Source, Sources};
use super::{Violation, layout};
use crate::workspace::{GATEWAY_PACKAGE, MANIFEST, PROGRAMS_PACKAGE};

const NAMES: &str = "invariant 2, names of drivers";
const CFG: &str = "invariant 5, cfg of a driver";

/// Every name by which hand-written text could know a driver.
struct Known {
    name: String,
    /// Name as an identifier: as it is, as a type, as a constant.
    idents: Vec<String>,
    /// Feature, package, program: longer names that say the driver's.
    long: Vec<String>,
    /// The directories that may say it: that of its crate, and those of what runs inside its sandboxes alone.
    homes: Vec<String>,
}

impl Known {
    fn of(assembly: &Assembly) -> Vec<Self> {
        let known = |driver: &driver_manifest::Driver| {
            let name = driver.name.clone();
            let pascal = name.split('-').map(capitalised).collect();
            let snake = name.replace('-', "_");
            let package = driver.package().map(ToOwned::to_owned);
            let mut long = vec![driver.feature()];
            long.extend(package.clone());
            let idents = vec![snake.to_uppercase(), snake, pascal];
            let others = || assembly.drivers.iter().filter(|other| other.name != driver.name);
            let shared = |guest: &&String| others().any(|other| other.guest.contains(*guest));
            let guests = driver.guest.iter().filter(|guest| !shared(guest)).cloned();
            let homes = package.into_iter().chain(guests).map(|package| format!("crates/{package}/"));
            // Somebody else's crate lies where the manifest says.
            let elsewhere = match &driver.kind {
                Kind::Crate { source: CrateSource::Path(path), .. } => {
                    Some(format!("{}/", path.trim_end_matches('/')))
                }
                _ => None,
            };
            Self { name, idents, long, homes: homes.chain(elsewhere).collect() }
        };
        assembly.drivers.iter().filter(|driver| driver.name != EXTERNAL).map(known).collect()
    }

    fn is_home(&self, path: &str) -> bool {
        self.homes.iter().any(|home| path.starts_with(home))
    }
}

/// Both invariants, over all hand-written files.
pub(super) fn check(sources: &Sources, assembly: &Assembly, graph: &Graph) -> Vec<Violation> {
    let known = Known::of(assembly);
    let features: Vec<String> = assembly.drivers.iter().map(driver_manifest::Driver::feature).collect();
    let mut found = Vec::new();
    let hand_written = |source: &&Source| !source.is_generated() && !source.is_test();
    let lexed: Vec<_> = sources
        .ending(&[".rs"])
        .filter(|source| !source.is_generated())
        .map(|source| (source, lexer::lex(&source.text)))
        .collect();
    let for_tests: Vec<String> = lexed
        .iter()
        .filter_map(|(source, lexed)| Some((source, lexed.as_ref()?)))
        .flat_map(|(source, lexed)| lexed.test_modules.iter().map(|name| module_path(&source.path, name)))
        .collect();
    let is_for_tests = |path: &str| {
        for_tests.iter().any(|module| {
            path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        })
    };
    for (source, lexed) in &lexed {
        match lexed {
            Some(lexed) => {
                found.extend(cfgs(source, &lexed.words, &features));
                if !source.is_test() && !is_for_tests(&source.path) {
                    found.extend(rust(source, &lexed.words, &known));
                }
            }
            None => found.push(Violation::new(
                NAMES,
                &source.path,
                1,
                "this file cannot be read as Rust, so nothing is known of it",
                format!("rustfmt --check {} says where", source.path),
            )),
        }
    }
    // A script is known by its first line; its comments are those of TOML and YAML.
    let scripts = sources.0.iter().filter(|source| source.text.starts_with("#!"));
    for source in sources.ending(&[".toml", ".yml", ".yaml", ".sh"]).chain(scripts).filter(hand_written) {
        if source.path != MANIFEST {
            found.extend(text(source, &known, graph));
        }
    }
    found
}

/// Where a module in a file of its own is, without `.rs`.
fn module_path(parent: &str, name: &str) -> String {
    let (dir, file) = parent.rsplit_once('/').unwrap_or(("", parent));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{dir}/{name}"),
        _ => format!("{dir}/{}/{name}", file.trim_end_matches(".rs")),
    }
}

fn cfgs(source: &Source, words: &[Word], features: &[String]) -> Vec<Violation> {
    let gated = words.iter().filter(|word| word.kind == WordKind::Feature && features.contains(&word.text));
    gated
        .map(|word| {
            Violation::new(
                CFG,
                &source.path,
                word.line,
                format!("a `cfg` on `{}` outside of `generated/`", word.text),
                "ask the catalog (`Catalog::arm`, `is_compiled_in`) at run time instead",
            )
        })
        .collect()
}

fn rust(source: &Source, words: &[Word], known: &[Known]) -> Vec<Violation> {
    let mut found = Vec::new();
    for word in words {
        let said: Vec<&str> = known
            .iter()
            .filter(|driver| !driver.is_home(&source.path))
            .filter(|driver| match word.kind {
                WordKind::Ident => {
                    driver.idents.contains(&word.text)
                        || driver.long.iter().any(|long| long.replace('-', "_") == word.text)
                }
                WordKind::Text | WordKind::Feature => says(&word.text, driver),
            })
            .map(|driver| driver.name.as_str())
            .collect();
        let in_passing = word.kind == WordKind::Text && is_passing_mention(&word.text, &said, known);
        if !said.is_empty() && !in_passing {
            found.push(violation(source, word.line, &said));
        }
    }
    found
}

/// Whether a text says a driver's name, as a word of its own or inside its feature or its package.
fn says(text: &str, driver: &Known) -> bool {
    tokens(text).any(|word| word == driver.name || driver.long.iter().any(|long| long == word))
}

/// A sentence that mentions one driver in passing is prose; a bare name, a feature or two names are not.
fn is_passing_mention(text: &str, said: &[&str], known: &[Known]) -> bool {
    let long = |word: &str| known.iter().any(|driver| driver.long.iter().any(|long| long == word));
    said.len() == 1 && tokens(text).count() > 2 && !tokens(text).any(long)
}

/// The words of a text. A file whose name begins with a dot (`.docker`) and the host of a registry (`docker.io`) are called
/// after an engine, not after a driver.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words = text.split(move |c: char| !part(c)).filter(|word| !word.is_empty());
    words.filter(move |word| {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        let hidden = text[..start].strip_suffix('.').is_some_and(|before| !before.ends_with(part));
        !hidden && !text[start + word.len()..].starts_with(".io")
    })
}

fn violation(source: &Source, line: usize, said: &[&str]) -> Violation {
    Violation::new(
        NAMES,
        &source.path,
        line,
        format!("hand-written text names the driver `{}`", said.join("`, `")),
        format!("take it from the manifest: generated code, the catalog, or `{MANIFEST}`"),
    )
}

/// TOML, YAML and scripts, line by line without comments. What `gen` owns of the compositions' manifests is left out.
fn text(source: &Source, known: &[Known], graph: &Graph) -> Vec<Violation> {
    let composition = [GATEWAY_PACKAGE, PROGRAMS_PACKAGE]
        .iter()
        .any(|package| graph.members().any(|(name, path)| name == *package && path.ends_with(&source.path)));
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let code = layout::without_comment(line);
        if composition && is_owned_line(code) {
            continue;
        }
        let said: Vec<&str> = known
            .iter()
            .filter(|driver| !driver.is_home(&source.path) && says(code, driver))
            .filter(|driver| !is_workspace_dependency(source, code, driver))
            .map(|driver| driver.name.as_str())
            .collect();
        if !said.is_empty() {
            found.push(violation(source, index + 1, &said));
        }
    }
    found
}

/// In the compositions' manifests `gen` owns the features, the drivers' dependencies and the programs.
fn is_owned_line(code: &str) -> bool {
    let key = code.split('=').next().unwrap_or_default().trim().trim_matches('"');
    let owned = ["default", "name", "path", "required-features"];
    owned.contains(&key)
        || key.starts_with("driver-")
        || key.starts_with("openshell-driver-")
        || !code.contains('=')
}

/// The root's table says where each crate of the workspace is; a driver's crate is one of them.
fn is_workspace_dependency(source: &Source, code: &str, driver: &Known) -> bool {
    source.path == "Cargo.toml"
        && driver.long.iter().any(|long| code.starts_with(&format!("{long} = {{ path = \"crates/{long}\"")))
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[&str]) -> Vec<Known> {
        names
            .iter()
            .map(|name| Known {
                name: (*name).to_owned(),
                idents: vec![name.to_uppercase(), (*name).to_owned(), capitalised(name)],
                long: vec![format!("driver-{name}"), format!("openshell-driver-{name}")],
                homes: vec![format!("crates/openshell-driver-{name}/")],
            })
            .collect()
    }

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), tracked: true }
    }

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let source = source(path, text);
        let words = lexer::lex(text).unwrap().words;
        rust(&source, &words, &known(&["docker", "podman"])).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn names_lists_and_branches_are_found() {
        assert_eq!(lines("a.rs", "match name { \"docker\" => 1, _ => 2 }"), [1]);
        assert_eq!(lines("a.rs", "\n const A: &str = \"docker,podman\";"), [2]);
        assert_eq!(lines("a.rs", "const A: &str = \"one of docker, podman or none\";"), [1]);
        assert_eq!(lines("a.rs", "enum Kind { Docker }"), [1]);
        assert_eq!(lines("a.rs", "use openshell_driver_podman::X;"), [1]);
        assert_eq!(lines("a.rs", "f(\"build with --features driver-docker please\");"), [1]);
    }

    #[test]
    fn prose_the_own_crate_and_other_words_are_not() {
        assert!(lines("a.rs", "// docker\nfn f() { \"as in docker for one\"; \"dockerd\"; }").is_empty());
        assert!(lines("crates/openshell-driver-docker/src/lib.rs", "struct Docker; \"docker\"").is_empty());
        assert_eq!(lines("crates/openshell-driver-docker/src/lib.rs", "\"podman\""), [1]);
    }

    #[test]
    fn what_runs_inside_the_sandboxes_of_one_driver_may_name_it() {
        let manifest = |guest_of_beta: &str| {
            let driver = |name: &str, guests: &str| {
                format!(
                    "[[driver]]\nname = \"{name}\"\nsummary = \"x\"\nkind = \"process\"\n\
                     package = \"driver-{name}\"\nguest = [{guests}]\n"
                )
            };
            let external = "[[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n";
            driver("alpha", "\"inside\"") + &driver("beta", guest_of_beta) + external
        };
        let is_home = |manifest: String| {
            let assembly = crate::selection::parse_manifest(manifest.as_bytes()).expect("no fault");
            let known = Known::of(&assembly);
            ["crates/driver-alpha/x.rs", "crates/inside/x.rs"].map(|path| known[0].is_home(path))
        };
        assert_eq!(is_home(manifest("\"other\"")), [true, true]);
        assert_eq!(is_home(manifest("\"inside\"")), [true, false], "what two drivers have names neither");
    }

    #[test]
    fn somebody_elses_crate_may_name_itself_where_it_lies() {
        let manifest = "[[driver]]\nname = \"theirs\"\nsummary = \"x\"\nkind = \"crate\"\npackage = \"theirs\"\n\
                        path = \"vendor/of-theirs\"\n[[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n";
        let assembly = crate::selection::parse_manifest(manifest.as_bytes()).expect("no fault");
        let known = Known::of(&assembly);
        let is_home =
            ["vendor/of-theirs/src/lib.rs", "vendor/of-theirs-not/lib.rs"].map(|path| known[0].is_home(path));
        assert_eq!(is_home, [true, false]);
    }

    #[test]
    fn files_and_hosts_that_are_called_after_an_engine_are_no_driver_s() {
        assert!(lines("a.rs", "f(\".docker\", \"docker.io\", \"home/.docker\")").is_empty());
        assert_eq!(lines("a.rs", "f(\"drivers.docker\",\n \"docker.x\")"), [1, 2]);
    }

    #[test]
    fn a_list_in_yaml_is_found_and_a_comment_is_not() {
        let yaml = source(".github/workflows/ci.yml", "# docker\njobs:\n  driver: [docker, podman]\n");
        let found = text(&yaml, &known(&["docker", "podman"]), &Graph::default());
        assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn cfgs_of_drivers_are_found_in_any_code() {
        let source = source("a.rs", "#[cfg(any(unix, feature = \"driver-docker\"))]\nfn f() {}");
        let words = lexer::lex(&source.text).unwrap().words;
        assert_eq!(cfgs(&source, &words, &["driver-docker".to_owned()]).len(), 1);
    }
}
