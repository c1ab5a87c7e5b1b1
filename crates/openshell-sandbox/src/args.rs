//! The command line, read by hand: it is written by drivers, not by people.

use std::fmt;

/// How it is called.
pub(crate) const USAGE: &str = "openshell-sandbox run [--user USER[:GROUP]] [--groups NUMBER[,NUMBER…]] [--workdir DIR] \
    [--capabilities HEX] [--forget-token] [-- PROGRAM [ARGUMENT…]] | install [--token FILE] [--ca FILE] DIR | \
    files upload DIR NAME | files download PATH | --version";

/// What to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// The first process of a sandbox.
    Run(Run),
    /// Put this program and what it needs where a sandbox has them.
    Install(Install),
    /// Unpack what comes on the standard input: into which directory, under which name.
    Upload(String, String),
    /// Pack onto the standard output.
    Download(String),
    /// Say the version.
    Version,
}

/// The arguments of `run`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Whom processes run as, as in `docker run --user`; empty: root.
    pub(crate) user: String,
    /// Further groups of theirs, by number: those of a sandbox's volumes.
    pub(crate) groups: Vec<u32>,
    /// Where they start; none: where the supervisor does.
    pub(crate) workdir: Option<String>,
    /// What processes of root keep of the supervisor's capabilities, as bits, in hexadecimal as in
    /// `/proc/self/status`.
    pub(crate) capabilities: u64,
    /// Whether the token's file goes once it is read: it is written anew before every start.
    pub(crate) forget_token: bool,
    /// What the main process is if its specification has no command.
    pub(crate) command: Vec<String>,
}

/// The arguments of `install`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Install {
    /// Where to.
    pub(crate) directory: String,
    /// The file with the sandbox's token.
    pub(crate) token: Option<String>,
    /// The file with the gateway's CA.
    pub(crate) ca: Option<String>,
}

/// Words that are no command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Nothing, or no such subcommand.
    Subcommand,
    /// An unknown flag, or a word too many.
    Word(String),
    /// A flag without its value, or with one that is none.
    Value(&'static str),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subcommand => write!(f, "what is it to be?")?,
            Self::Word(word) => write!(f, "`{word}` is not understood")?,
            Self::Value(flag) => write!(f, "`{flag}` wants a value")?,
        }
        write!(f, "\nusage: {USAGE}")
    }
}

/// Reads the words after the program's name.
pub(crate) fn read(words: impl IntoIterator<Item = String>) -> Result<Arguments, Wrong> {
    let mut words = words.into_iter();
    match words.next().as_deref() {
        Some("run") => run(words).map(Arguments::Run),
        Some("install") => install(words).map(Arguments::Install),
        Some("files") => {
            let direction = words.next();
            let path = words.next().filter(|path| !path.is_empty());
            // Its own name, where there is no other.
            let name = direction.as_deref().filter(|word| *word == "upload").and_then(|_| words.next());
            if let Some(word) = words.next() {
                return Err(Wrong::Word(word));
            }
            match (direction.as_deref(), path, name) {
                (Some("upload"), Some(path), Some(name)) => Ok(Arguments::Upload(path, name)),
                (Some("download"), Some(path), None) => Ok(Arguments::Download(path)),
                _ => Err(Wrong::Value("files")),
            }
        }
        Some("--version") => Ok(Arguments::Version),
        _ => Err(Wrong::Subcommand),
    }
}

fn run(mut words: impl Iterator<Item = String>) -> Result<Run, Wrong> {
    let mut run = Run::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--" => {
                run.command = words.collect();
                break;
            }
            "--user" => run.user = words.next().ok_or(Wrong::Value("--user"))?,
            "--groups" => {
                let numbers = words.next();
                let numbers =
                    numbers.iter().flat_map(|text| text.split(',')).map(|number| number.parse().ok());
                let groups = numbers.collect::<Option<Vec<u32>>>().filter(|groups| !groups.is_empty());
                run.groups = groups.ok_or(Wrong::Value("--groups"))?;
            }
            "--workdir" => {
                let workdir = words.next().filter(|path| path.starts_with('/'));
                run.workdir = Some(workdir.ok_or(Wrong::Value("--workdir"))?);
            }
            "--capabilities" => {
                let bits = words.next().and_then(|bits| u64::from_str_radix(&bits, 16).ok());
                run.capabilities = bits.ok_or(Wrong::Value("--capabilities"))?;
            }
            "--forget-token" => run.forget_token = true,
            _ => return Err(Wrong::Word(word)),
        }
    }
    Ok(run)
}

fn install(mut words: impl Iterator<Item = String>) -> Result<Install, Wrong> {
    let mut install = Install::default();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--token" => install.token = Some(words.next().ok_or(Wrong::Value("--token"))?),
            "--ca" => install.ca = Some(words.next().ok_or(Wrong::Value("--ca"))?),
            _ if word.starts_with('/') && install.directory.is_empty() => install.directory = word,
            _ => return Err(Wrong::Word(word)),
        }
    }
    if install.directory.is_empty() {
        return Err(Wrong::Value("install"));
    }
    Ok(install)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Arguments, Wrong> {
        read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_form() {
        let run = |user: &str, workdir: Option<&str>, capabilities, command: &[&str]| {
            Ok(Arguments::Run(Run {
                user: user.to_owned(),
                groups: Vec::new(),
                workdir: workdir.map(str::to_owned),
                capabilities,
                forget_token: false,
                command: command.iter().map(|word| (*word).to_owned()).collect(),
            }))
        };
        assert_eq!(of("run"), run("", None, 0, &[]));
        assert_eq!(
            of("run --user u:g --workdir /w --capabilities e0 -- sh -c -- --user"),
            run("u:g", Some("/w"), 0xe0, &["sh", "-c", "--", "--user"])
        );
        let install = |directory: &str, token: Option<&str>, ca: Option<&str>| {
            let (token, ca) = (token.map(str::to_owned), ca.map(str::to_owned));
            Ok(Arguments::Install(Install { directory: directory.to_owned(), token, ca }))
        };
        assert_eq!(of("install --token /t --ca /c /run"), install("/run", Some("/t"), Some("/c")));
        assert_eq!(of("install /run"), install("/run", None, None));
        let more = Run { groups: vec![9, 1000], forget_token: true, ..Run::default() };
        assert_eq!(of("run --forget-token --groups 9,1000"), Ok(Arguments::Run(more)));
        assert_eq!(of("files upload /a b"), Ok(Arguments::Upload("/a".to_owned(), "b".to_owned())));
        assert_eq!(of("files download a"), Ok(Arguments::Download("a".to_owned())));
        assert_eq!(of("--version"), Ok(Arguments::Version));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(of(""), Err(Wrong::Subcommand));
        assert_eq!(of("walk"), Err(Wrong::Subcommand));
        assert_eq!(of("run sh"), Err(Wrong::Word("sh".to_owned())));
        assert_eq!(of("run --user"), Err(Wrong::Value("--user")));
        for groups in ["", "9,", "-1", "staff", "4294967296"] {
            assert_eq!(of(&format!("run --groups {groups}")), Err(Wrong::Value("--groups")), "{groups}");
        }
        assert_eq!(of("run --workdir relative"), Err(Wrong::Value("--workdir")));
        assert_eq!(of("run --capabilities x"), Err(Wrong::Value("--capabilities")));
        assert_eq!(of("install"), Err(Wrong::Value("install")));
        assert_eq!(of("install run"), Err(Wrong::Word("run".to_owned())));
        assert_eq!(of("install /a /b"), Err(Wrong::Word("/b".to_owned())));
        assert_eq!(of("install /a --token"), Err(Wrong::Value("--token")));
        assert_eq!(of("files upload"), Err(Wrong::Value("files")));
        assert_eq!(of("files upload a"), Err(Wrong::Value("files")));
        assert_eq!(of("files upload a b c"), Err(Wrong::Word("c".to_owned())));
        assert_eq!(of("files download a b"), Err(Wrong::Word("b".to_owned())));
    }
}
