//! `affected`: what holds a crate, by which way, and what does not: the answer on the day of an advisory. By graph alone,
//! asked with the very arguments of the builds; nothing is built.

mod asked;
mod holders;

use std::process::ExitCode;

use serde_json::json;

use asked::Asked;
use holders::{Found, Holder};

use crate::error::{Error, Result};
use crate::table::{Table, out, wrapped};
use crate::verify::{Graphs, Id, Lock};
use crate::workspace::Workspace;

/// Nothing holds it, as grep says it.
const NOWHERE: u8 = 1;
/// The tool itself has failed.
const FAILED: u8 = 3;

/// Say which gateways, driver programs, guests and tools hold a crate, and by which way
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Exit codes: 0 something holds it, 1 nothing does, 2 wrong call or no such crate, 3 failure of the tool."
)]
pub(crate) struct Args {
    /// bollard, bollard@0.21.3 (that version alone) or 'bollard@<0.22' (a requirement, as in Cargo.toml)
    #[arg(value_name = "CRATE[@VERSION]")]
    asked: String,
    /// The target triple of the builds [default: the host's]
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Do not touch the network
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it.
struct Answer {
    asked: String,
    name: String,
    /// Versions in the lock that are meant.
    meant: Vec<Id>,
    /// Versions in the lock that are not.
    others: Vec<String>,
    searched: Vec<(Holder, Vec<Found>)>,
}

/// Runs it. Exit codes say what was found, so that a failure has one of its own.
pub(crate) fn run(args: &Args) -> Result {
    answer(args).or_else(|error| match error {
        Error::Refused { .. } | Error::NoWorkspace | Error::Manifest { .. } => Err(error),
        error => {
            error.print();
            Ok(ExitCode::from(FAILED))
        }
    })
}

fn answer(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    let assembly = workspace.assembly()?;
    let asked = Asked::parse(&args.asked)?;
    let (meant, others) = asked.locked(&Lock::load(&workspace)?.names())?;
    let mut searched = Vec::new();
    if !meant.is_empty() {
        let holders = holders::all(&workspace, &assembly)?;
        let mut graphs = Graphs::load(&workspace, args.offline)?;
        searched = holders::search(&mut graphs, holders, args.target.as_deref(), &meant)?;
    }
    let answer = Answer { asked: args.asked.clone(), name: asked.name, meant, others, searched };
    out(&if args.json { answer.json() } else { answer.text() });
    Ok(if answer.affected() { ExitCode::SUCCESS } else { ExitCode::from(NOWHERE) })
}

impl Answer {
    fn affected(&self) -> bool {
        self.searched.iter().any(|(_, found)| !found.is_empty())
    }

    fn text(&self) -> String {
        if self.meant.is_empty() {
            let others = self.others.join(", ");
            return format!("no version in Cargo.lock is meant by `{}`: there is {others}\n", self.asked);
        }
        let meant: Vec<String> =
            self.meant.iter().map(|(name, version)| format!("{name} {version}")).collect();
        if !self.affected() {
            return wrapped(
                &format!(
                    "{} is in Cargo.lock and in nothing that is built for this target: it is there for tests or for \
                     other platforms (--target)",
                    meant.join(", ")
                ),
                2,
            );
        }
        let mut table = Table::new(["", "", "", "", ""]);
        let mut without: Vec<String> = Vec::new();
        for (holder, found) in &self.searched {
            let called = match holder.names.as_slice() {
                [] => String::new(),
                names => format!(" ({})", names.join("; ")),
            };
            let name = format!("{}{called}", holder.name);
            if found.is_empty() {
                without.push(name.clone());
            }
            for Found { id: (crate_name, version), in_file, path } in found {
                table.row([
                    holder.kind.word(),
                    &name,
                    &format!("{crate_name} {version}"),
                    if *in_file { "in it" } else { "builds it" },
                    &path.join(" → "),
                ]);
            }
        }
        let mut text = table.render().trim_start().to_owned();
        let none = if without.is_empty() { "nothing".to_owned() } else { without.join(", ") };
        text.push_str(&wrapped(&format!("without {}: {none}", meant.join(", ")), 2));
        if !self.others.is_empty() {
            let others = self.others.join(", ");
            text.push_str(&format!("not asked about: {} {others}\n", self.name));
        }
        text
    }

    fn json(&self) -> String {
        let versions: Vec<&String> = self.meant.iter().map(|(_, version)| version).collect();
        let holders = self.searched.iter().map(|(holder, found)| {
            let found = found
                .iter()
                .map(|found| json!({ "version": found.id.1, "in_file": found.in_file, "path": found.path }));
            json!({
                "kind": holder.kind.word(),
                "name": holder.name,
                "names": holder.names,
                "holds": found.collect::<Vec<_>>(),
            })
        });
        format!(
            "{:#}\n",
            json!({
                "schema_version": 1,
                "asked": self.asked,
                "crate": self.name,
                "versions": versions,
                "other_versions": self.others,
                "affected": self.affected(),
                "searched": holders.collect::<Vec<_>>(),
            })
        )
    }
}
