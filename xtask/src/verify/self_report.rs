//! What a gateway says of itself when it is run: opt-in, with an empty environment, and not for longer than it takes.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use driver_verify::SelfReport;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::workspace::spawn;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How much it may say, in bytes.
const MOST: u64 = 1 << 20;
const SHOWN: &str = "FILE drivers --json";

/// The part of `drivers --json` that is compared.
#[derive(Deserialize)]
struct Said {
    drivers: Vec<Entry>,
    options: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    compiled_in: bool,
}

/// Runs the file with `drivers --json`.
pub(super) fn run(file: &Path) -> Result<SelfReport> {
    let shown = file.display().to_string();
    let absolute = std::path::absolute(file).map_err(Error::file("find", file))?;
    let mut child = Command::new(absolute)
        .args(["drivers", "--json"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(spawn(&shown))?;
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.map(|stdout| stdout.take(MOST).read_to_string(&mut text));
        text
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(spawn(&shown))? {
            Some(status) => break status,
            None if began.elapsed() > LIMIT => {
                // Whether it could be killed or is gone already: it is not waited for any longer.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::output(SHOWN, format!("it was still running after {LIMIT:?}")));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    if !status.success() {
        return Err(Error::output(SHOWN, status));
    }
    parse(&reader.join().unwrap_or_default())
}

fn parse(text: &str) -> Result<SelfReport> {
    let said: Said = serde_json::from_str(text).map_err(|error| Error::output(SHOWN, error))?;
    let compiled = |entries: Vec<Entry>| {
        entries.into_iter().filter(|entry| entry.compiled_in).map(|entry| entry.name).collect()
    };
    let (drivers, options) = (compiled(said.drivers), compiled(said.options));
    Ok(SelfReport { schema: 1, drivers, options, version: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_in_counts() {
        let text = r#"{"drivers": [{"name": "a", "compiled_in": true, "probe": null}, {"name": "b", "compiled_in": false}],
                       "options": [{"name": "o", "compiled_in": false}]}"#;
        let said = parse(text).unwrap();
        assert_eq!((said.drivers, said.options), (vec!["a".to_owned()], Vec::new()));
        assert!(parse("{}").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_says_nothing_useful_is_the_tools_failure() {
        assert!(run(Path::new("/bin/true")).is_err());
        assert!(run(Path::new("/nothing/there")).is_err());
    }
}
