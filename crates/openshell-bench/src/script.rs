//! A backend's own client, by a script that lies beside the tests of its driver's crate.
//!
//! ```text
//!   SCRIPT image              the image that sandboxes run
//!   SCRIPT config             what a gateway's configuration says of the driver; may be empty
//!   SCRIPT resources          the sandbox ids of everything that the backend has of the gateway, one a line
//!   SCRIPT holds              how many sandboxes the backend has room for; nothing where it does not say
//!   SCRIPT kill               ends every workload of the gateway, one after the other
//!   SCRIPT ends               when each of them ended, by the backend's own record: `SANDBOX-ID RFC3339` a line; nothing
//!                             where it keeps none
//!   SCRIPT begin              makes what runs by hand share: a network
//!   SCRIPT run NAME           makes and starts what a sandbox is, by hand; ends when that runs
//!   SCRIPT remove NAME        removes it
//!   SCRIPT end                removes what `begin` made
//!   SCRIPT inside SANDBOX-ID  how the client calls the workload of a sandbox of the gateway
//!   SCRIPT exec INSIDE        the words of the client that a command in there is put behind, one a line
//!   SCRIPT copy-in INSIDE FILE PATH
//!                             copies a file of this machine into it
//!   SCRIPT copy-out INSIDE PATH FILE
//!                             copies one out of it
//! ```
//!
//! The last four are there where the driver delivers a supervisor.
//!
//! The gateway's id is in `$OPENSHELL_GATEWAY_ID`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::SystemTime;

use crate::Result;
use crate::figure::moment;

/// The script of a backend, as a shell command to which a verb is added.
#[derive(Debug, Clone)]
pub(crate) struct Script(String);

impl Script {
    /// Any shell command.
    pub(crate) fn new(command: &str) -> Self {
        Self(command.to_owned())
    }

    /// Runs it; what it printed.
    pub(crate) fn run(&self, words: &[&str], gateway_id: &str) -> Result<String> {
        let mut shell = Command::new("/bin/sh");
        // The words are arguments of the shell and no part of the command's text.
        shell.args(["-c", &format!("{} \"$@\"", self.0), "sh"]).args(words);
        let output = shell.env("OPENSHELL_GATEWAY_ID", gateway_id).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`{} {}` failed: {}", self.0, words.join(" "), said.trim()).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The image that sandboxes run.
    pub(crate) fn image(&self) -> Result<String> {
        Ok(self.run(&["image"], "")?.trim().to_owned())
    }

    /// What a gateway's configuration says of the driver.
    pub(crate) fn config(&self) -> Result<String> {
        self.run(&["config"], "")
    }

    /// How the client calls the workload of a sandbox.
    pub(crate) fn inside(&self, gateway_id: &str, sandbox: &str) -> Result<String> {
        Ok(self.run(&["inside", sandbox], gateway_id)?.trim().to_owned())
    }

    /// The client with a command behind it that runs in a sandbox. The command line is asked for and not the command, so
    /// that no shell of the script's is in what is measured.
    pub(crate) fn exec(&self, inside: &str, command: &[&str]) -> Result<Command> {
        let line = self.run(&["exec", inside], "")?;
        let mut words = line.lines();
        let mut client = Command::new(words.next().ok_or("`exec` names no program")?);
        client.args(words).args(command);
        Ok(client)
    }

    /// Whether the backend has room for so many sandboxes; says that `what` is skipped where it has not.
    pub(crate) fn has_room(&self, wanted: usize, what: &str) -> Result<bool> {
        match self.holds()? {
            Some(room) if room < wanted => {
                eprintln!("skipped: {what}: the backend has room for {room}");
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// How many sandboxes the backend has room for.
    fn holds(&self) -> Result<Option<usize>> {
        let text = self.run(&["holds"], "")?;
        let number = Some(text.trim()).filter(|number| !number.is_empty());
        Ok(number.map(str::parse).transpose()?)
    }

    /// When the sandboxes of a gateway ended, by the backend's own record.
    pub(crate) fn ends(&self, gateway_id: &str) -> Result<BTreeMap<String, SystemTime>> {
        let text = self.run(&["ends"], gateway_id)?;
        let end = |line: &str| -> Result<_> {
            let (id, at) = line.trim().split_once(' ').ok_or_else(|| format!("`{line}` is not ID TIME"))?;
            Ok((id.to_owned(), moment(at)?))
        };
        text.lines().map(end).collect()
    }

    /// The sandbox ids of what the backend has of a gateway.
    pub(crate) fn resources(&self, gateway_id: &str) -> Result<BTreeSet<String>> {
        let text = self.run(&["resources"], gateway_id)?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_says_of_its_backend() {
        let says = |text: &str| Script::new(&format!("printf '{text}' #"));
        assert_eq!(says("").holds().expect("nothing"), None);
        assert_eq!(says("110\\n").holds().expect("a number"), Some(110));
        assert!(says("many").holds().is_err());
        let ends =
            says("a 1970-01-01T00:00:01.5Z\\nb 1970-01-01T01:00:00+01:00\\n").ends("id").expect("ends");
        let since = |id: &str| ends[id].duration_since(SystemTime::UNIX_EPOCH).expect("later").as_millis();
        assert_eq!((ends.len(), since("a"), since("b")), (2, 1500, 0));
        assert!(says("a").ends("id").is_err());
        let client = says("client\\nan exec\\nit\\n").exec("it", &["true"]).expect("a command line");
        let words: Vec<_> = client.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(
            (client.get_program().to_str(), words.join("|")),
            (Some("client"), "an exec|it|true".into())
        );
        assert!(says("").exec("it", &["true"]).is_err());
    }

    #[test]
    fn words_reach_the_script_as_they_are_and_a_failure_says_what_it_said() {
        let echo = Script::new("echo $OPENSHELL_GATEWAY_ID");
        assert_eq!(echo.run(&["a b", "$c"], "id").expect("an echo"), "id a b $c\n");
        let fails = Script::new("echo it is away >&2; false");
        let error = fails.run(&["image"], "").expect_err("a failure").to_string();
        assert!(error.contains("image") && error.contains("it is away"), "{error}");
    }
}
