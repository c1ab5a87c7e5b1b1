//! Completion in a shell: the script that a shell reads, and the words that it asks this program for while somebody types.
//! The commands and options are those of the command line as it is, and the drivers those of this build.

use std::ffi::OsString;
use std::fmt;

use clap::{Arg, Command, ValueEnum};
use openshell_core::catalog::Catalog;

/// The variable by which a script asks.
const VARIABLE: &str = "OPENSHELL_GATEWAY_COMPLETE";
/// The option that takes names of drivers.
const DRIVERS: &str = "drivers";

/// A shell that has completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl fmt::Display for Shell {
    /// The script: it asks the program at each word, so that it never says anything else than the program itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let script = match self {
            Self::Bash => {
                "_openshell_gateway() {\n    local IFS=$'\\n'\n    COMPREPLY=($(VARIABLE=1 openshell-gateway -- \
                 \"${COMP_WORDS[@]:0:COMP_CWORD+1}\" 2>/dev/null))\n}\n\
                 complete -o bashdefault -o default -F _openshell_gateway openshell-gateway\n"
            }
            Self::Fish => {
                "complete -c openshell-gateway -a '(VARIABLE=1 openshell-gateway -- (commandline -opc) \
                 (commandline -ct) 2>/dev/null)'\n"
            }
            Self::Zsh => {
                "#compdef openshell-gateway\n_openshell_gateway() {\n    local -a found\n    \
                 found=(${(f)\"$(VARIABLE=1 openshell-gateway -- \"${(@)words[1,CURRENT]}\" 2>/dev/null)\"})\n    \
                 if (( $#found )); then compadd -a found; else _files; fi\n}\n\
                 compdef _openshell_gateway openshell-gateway\n"
            }
        };
        f.write_str(&script.replace("VARIABLE", VARIABLE))
    }
}

/// What a shell is answered, a word a line, if it was a shell that asked.
pub(crate) fn answer(command: Command, catalog: &Catalog) -> Option<String> {
    std::env::var_os(VARIABLE)?;
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let words: Vec<String> = words.map(OsString::into_string).map(Result::unwrap_or_default).collect();
    let drivers: Vec<&str> = catalog.compiled_in().map(|entry| entry.name).collect();
    let found = candidates(command, &words, &drivers);
    Some(found.into_iter().map(|word| word + "\n").collect())
}

/// The words that may stand where the last of `words` does; the first is the program.
fn candidates(mut command: Command, words: &[String], drivers: &[&str]) -> Vec<String> {
    command.build();
    let Some((typed, before)) = words.split_last() else { return Vec::new() };
    let mut command = &command;
    // The option whose value comes next.
    let mut open: Option<&Arg> = None;
    for word in before.iter().skip(1) {
        if open.take_if(|_| word != "=").is_some() || word == "=" {
            continue;
        }
        if let Some(option) = word.strip_prefix("--") {
            open = long(command, option).filter(|arg| arg.get_action().takes_values());
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        }
    }
    if let Some(option) = open {
        // A shell that takes `=` for a word by itself asks for what comes after it.
        return values(option, typed.strip_prefix('=').unwrap_or(typed), drivers);
    }
    if let Some((option, value)) = typed.strip_prefix("--").and_then(|typed| typed.split_once('=')) {
        let found = long(command, option).map(|arg| values(arg, value, drivers)).unwrap_or_default();
        return found.into_iter().map(|value| format!("--{option}={value}")).collect();
    }
    let options = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long);
    let inner = command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
        .map(|inner| inner.get_name().to_owned());
    let places = command.get_positionals().flat_map(|arg| values(arg, typed, drivers));
    let all = options.map(|option| format!("--{option}")).chain(inner).chain(places);
    // Options are shown to whoever begins one.
    all.filter(|word| word.starts_with(typed.as_str()) && (word.starts_with('-') == typed.starts_with('-')))
        .collect()
}

fn long<'c>(command: &'c Command, name: &str) -> Option<&'c Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(name))
}

/// The values of an option, of a list the last; nothing where any text may stand.
fn values(arg: &Arg, typed: &str, drivers: &[&str]) -> Vec<String> {
    let (before, last) = match arg.get_value_delimiter().and_then(|delimiter| typed.rfind(delimiter)) {
        Some(at) => typed.split_at(at + 1),
        None => ("", typed),
    };
    let known: Vec<String> = if arg.get_id() == DRIVERS {
        drivers.iter().map(|name| (*name).to_owned()).collect()
    } else {
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
    };
    known.into_iter().filter(|name| name.starts_with(last)).map(|name| format!("{before}{name}")).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    fn offered(line: &str) -> Vec<String> {
        let words: Vec<String> = format!("openshell-gateway {line}").split(' ').map(str::to_owned).collect();
        candidates(Cli::command(), &words, &["alpha", "alps", "beta"])
    }

    #[test]
    fn drivers_are_offered_where_one_is_named() {
        assert_eq!(offered("--drivers al"), ["alpha", "alps"]);
        assert_eq!(offered("--drivers=b"), ["--drivers=beta"]);
        assert_eq!(offered("--drivers = b"), ["beta"], "as bash splits it");
        assert_eq!(offered("check-config --drivers alpha,b"), ["alpha,beta"]);
        assert_eq!(offered("--config al"), Vec::<String>::new(), "a path is the shell's to complete");
    }

    #[test]
    fn commands_and_options_are_those_of_the_command_line() {
        assert_eq!(offered("chec"), ["check-config"]);
        assert_eq!(offered("--driv"), ["--drivers"]);
        assert_eq!(offered("drivers --js"), ["--json"]);
        assert_eq!(offered("completions f"), ["fish"]);
        assert!(
            offered("").contains(&"token".to_owned())
                && !offered("").iter().any(|word| word.starts_with('-'))
        );
        assert_eq!(offered("--no-tcp drivers --json --drivers a"), ["alpha", "alps"]);
    }

    #[test]
    fn each_script_asks_this_program() {
        for shell in Shell::value_variants() {
            let script = shell.to_string();
            assert!(script.contains("OPENSHELL_GATEWAY_COMPLETE=1 openshell-gateway --"), "{script}");
        }
    }
}
