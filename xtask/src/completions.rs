//! `completions`: what makes a shell complete `cargo xtask …`. The commands and options are those of the menu as it is; names of
//! drivers, presets and options are those of the `drivers.toml` that is here when somebody types.

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::ValueEnum;
use clap_complete::CompletionCandidate;
use clap_complete::env::CompleteEnv;
use driver_manifest::{Assembly, Context, read};

use crate::error::Result;
use crate::table::out;
use crate::workspace::{MANIFEST, Workspace};

/// The variable by which a script asks.
const VARIABLE: &str = "OPENSHELL_XTASK_COMPLETE";

/// Print what makes a shell complete the menu: eval "$(cargo xtask completions bash)"
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// A shell that has completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl Shell {
    /// The script. It takes `cargo xtask` alone and leaves every other subcommand to cargo's own completion.
    fn script(self) -> String {
        let script = match self {
            Self::Bash => {
                r#"_openshell_cargo_xtask() {
    if [[ ${COMP_WORDS[1]} == xtask ]] && ((COMP_CWORD > 1)); then
        local IFS=$'\n'
        COMPREPLY=($(VARIABLE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((COMP_CWORD - 1)) \
            cargo xtask -- "${COMP_WORDS[@]:1}" 2>/dev/null))
    elif declare -F _cargo >/dev/null; then
        _cargo "$@"
    fi
}
complete -o bashdefault -o default -F _openshell_cargo_xtask cargo
"#
            }
            Self::Fish => {
                "complete -c cargo -n '__fish_seen_subcommand_from xtask' -a '(VARIABLE=fish cargo xtask -- \
                 (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'\n"
            }
            Self::Zsh => {
                r#"_openshell_cargo_xtask() {
    if [[ $words[2] == xtask ]] && ((CURRENT > 2)); then
        local -a found
        found=(${(f)"$(VARIABLE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((CURRENT - 2)) \
            cargo xtask -- "${(@)words[2,-1]}" 2>/dev/null)"})
        if (($#found)); then compadd -a found; else _files; fi
    elif (($+functions[_cargo])); then
        _cargo "$@"
    fi
}
compdef _openshell_cargo_xtask cargo
"#
            }
        };
        script.replace("VARIABLE", VARIABLE)
    }
}

/// Answers a shell that asks, and ends the program then.
pub(crate) fn answer(menu: fn() -> clap::Command) {
    CompleteEnv::with_factory(menu).var(VARIABLE).bin("xtask").complete();
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> Result {
    out(&args.shell.script());
    Ok(ExitCode::SUCCESS)
}

/// The names of drivers.
pub(crate) fn drivers(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, |assembly| named(assembly.drivers, |driver| (driver.name, driver.summary)))
}

/// The names of presets.
pub(crate) fn presets(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, |assembly| named(assembly.presets, |preset| (preset.name, preset.drivers.join(", "))))
}

/// The names of options.
pub(crate) fn options(typed: &OsStr) -> Vec<CompletionCandidate> {
    candidates(typed, |assembly| named(assembly.options, |option| (option.name, option.summary)))
}

fn named<T>(all: Vec<T>, pair: impl Fn(T) -> (String, String)) -> Vec<(String, String)> {
    all.into_iter().map(pair).collect()
}

/// Those of the manifest that begin as the last word of a list that is typed; none, without a word, where it has a fault.
fn candidates(
    typed: &OsStr,
    names: impl FnOnce(Assembly) -> Vec<(String, String)>,
) -> Vec<CompletionCandidate> {
    let bytes = Workspace::find().and_then(|workspace| workspace.manifest()).unwrap_or_default();
    let Some(assembly) = read(MANIFEST, &bytes, &Context::default()).assembly else { return Vec::new() };
    let typed = typed.to_string_lossy();
    let (before, last) = match typed.rfind(',') {
        Some(at) => typed.split_at(at + 1),
        None => ("", &*typed),
    };
    let fitting = names(assembly).into_iter().filter(|(name, _)| name.starts_with(last));
    fitting
        .map(|(name, help)| CompletionCandidate::new(format!("{before}{name}")).help(Some(help.into())))
        .collect()
}
