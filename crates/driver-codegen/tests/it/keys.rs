//! Edits of Cargo.toml: what is ours changes, what is not stays.

use driver_codegen::{ArtifactSet, CargoTomlError, Lock, RenderError, generate, owned_projection};

use crate::support::assembly;

const SERVER: &str = "crates/openshell-server/Cargo.toml";
const PROGRAMS: &str = "crates/openshell-drivers/Cargo.toml";

const EXTERNAL: &str =
    "[[driver]]\nname = \"external\"\nsummary = \"any\"\nkind = \"socket\"\ndefault = true\n";

fn set(manifest: &str) -> ArtifactSet {
    generate(&assembly(&format!("{manifest}{EXTERNAL}")), None)
}

fn edit(set: &ArtifactSet, path: &str, text: &str) -> String {
    set.get(path).expect("an artifact").render(Some(text)).expect("an edit")
}

fn driver(name: &str, more: &str) -> String {
    format!(
        "[[driver]]\nname = \"{name}\"\nsummary = \"s\"\nkind = \"in-tree\"\npackage = \"openshell-driver-{name}\"\n{more}"
    )
}

#[test]
fn an_empty_package_gets_everything() {
    let set = set(&driver("a", "platforms = [\"linux\"]\n"));
    let edited = edit(&set, SERVER, "[package]\nname = \"s\"\n");
    assert_eq!(
        edited,
        "[package]\nname = \"s\"\n\n\
         [target.'cfg(target_os = \"linux\")'.dependencies]\n\
         openshell-driver-a = { path = \"../openshell-driver-a\", default-features = false, optional = true }\n\n\
         [dependencies]\nopenshell-driver-remote = { workspace = true, optional = true }\n\n\
         [features]\ndefault = [\"driver-a\", \"driver-external\"]\n\
         driver-a = [\"dep:openshell-driver-a\"]\n\
         driver-external = [\"dep:openshell-driver-remote\"]\n"
    );
    assert_eq!(edit(&set, SERVER, &edited), edited);
}

#[test]
fn adding_and_removing_a_driver_gives_the_old_bytes() {
    let (one, two) = (
        set(&driver("a", "")),
        set(&format!("{}{}", driver("a", ""), driver("b", "platforms = [\"unix\"]\n"))),
    );
    for path in [SERVER, PROGRAMS] {
        let before = edit(
            &one,
            path,
            "[package]\nname = \"s\"\n\n[dependencies]\nzeta = \"1\"\n\n[lints]\nworkspace = true\n",
        );
        let with = edit(&two, path, &before);
        assert!(with.contains("cfg(unix)") && with.contains("driver-b"), "{with}");
        assert_eq!(edit(&one, path, &with), before);
    }
}

#[test]
fn the_comment_of_a_removed_driver_stays() {
    let text = "[features]\ndefault = []\n# a word about old\ndriver-old = []\n\n[lints]\nworkspace = true\n";
    let edited = edit(&set(""), SERVER, text);
    assert!(!edited.contains("driver-old"), "{edited}");
    assert!(edited.contains("# a word about old"), "{edited}");
}

#[test]
fn the_last_tables_comment_stays_too() {
    let text = "[features]\ndefault = []\n\n[target.'cfg(unix)'.dependencies]\n# a last word\nold = { path = \"old\", optional = true }\n";
    let text = text.replace("default = []", "default = []\ndriver-old = [\"dep:old\"]");
    let edited = edit(&set(""), SERVER, &text);
    assert!(!edited.contains("cfg(unix)"), "{edited}");
    assert!(edited.contains("# a last word"), "{edited}");
}

#[test]
fn an_option_reaches_direct_dependencies_only() {
    let option = "[option.o]\nsummary = \"s\"\nfeatures = [\"openshell-core/x\", \"openshell-driver-a/x\", \"openshell-runtime/x\"]\n";
    let set = set(&format!("{}{option}", driver("a", "")));
    let edited = edit(&set, SERVER, "[dependencies]\nopenshell-core.workspace = true\n");
    assert!(edited.contains("o = [\"openshell-core/x\", \"openshell-driver-a?/x\"]\n"), "{edited}");
    let edited = edit(&set, SERVER, "[dependencies]\nopenshell-runtime = { path = \"r\" }\n");
    assert!(edited.contains("o = [\"openshell-driver-a?/x\", \"openshell-runtime/x\"]\n"), "{edited}");
}

#[test]
fn the_feature_of_an_option_that_is_gone_goes() {
    let lock = Lock { options: vec!["bygone".to_owned()], ..Lock::default() };
    let text = "[features]\nbygone = []\nmine = []\n";
    let edited = edit(&generate(&assembly(EXTERNAL), Some(&lock)), SERVER, text);
    assert!(!edited.contains("bygone") && edited.contains("mine = []"), "{edited}");
    assert!(edit(&set(""), SERVER, text).contains("bygone"), "without a lock it is not known to be ours");
}

#[test]
fn what_is_in_the_way_is_an_error() {
    let render = |text: &str| set(&driver("a", "")).get(SERVER).unwrap().render(Some(text)).unwrap_err();
    let keys = |error: RenderError| match error {
        RenderError::Keys(error) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(keys(render("features = { a = [] }\n")), CargoTomlError::NotATable("features".to_owned()));
    assert_eq!(
        keys(render("bin = 1\n[features]\n[dependencies]\nopenshell-driver-a = \"1\"\n")),
        CargoTomlError::NotOptional("openshell-driver-a".to_owned())
    );
    assert!(matches!(keys(render("[features")), CargoTomlError::Syntax(_)));
    assert_eq!(set("").get(SERVER).unwrap().render(None).unwrap_err(), RenderError::NoFile);
}

#[test]
fn a_long_list_has_a_line_an_element() {
    let many: String = ('a'..='l').map(|name| driver(&name.to_string(), "")).collect();
    let set = set(&many);
    let edited = edit(&set, SERVER, "[features]\n");
    assert!(edited.contains("default = [\n    \"driver-a\",\n    \"driver-b\",\n"), "{edited}");
    assert_eq!(edit(&set, SERVER, &edited), edited);
}

#[test]
fn the_projection_follows_our_keys_and_the_direct_dependencies() {
    let options = ["o".to_owned()];
    let project = |text: &str| owned_projection(text, &options).unwrap();
    let base = "[features]\ndefault = [\"driver-a\"]\ndriver-a = [\"dep:a\"]\no = []\nmine = []\n[dependencies]\na = { path = \"a\", optional = true }\n";
    let same = base
        .replace("mine = []", "mine = [\"o\"] # word")
        .replace("default = [\"driver-a\"]", "default = [ \"driver-a\", ]");
    assert_eq!(project(base), project(&same));
    for (from, to) in [
        ("o = []", "o = [\"x\"]"),
        ("path = \"a\"", "path = \"b\""),
        ("[dependencies]", "[dependencies]\nnew = \"1\""),
        ("dep:a", "dep:b"),
    ] {
        assert_ne!(project(base), project(&base.replace(from, to)), "{from}");
    }
    assert_eq!(owned_projection("[", &options), None);
}
