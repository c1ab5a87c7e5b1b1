//! Worth for people and for programs.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::crates::shown;
use super::{Delta, Part, Worth};
use crate::table::{Table, wrapped};
use crate::verify::Id;

const HEADINGS: [&str; 9] = [
    "driver or option",
    "adds crates",
    "bytes",
    "seconds",
    "takes crates",
    "bytes",
    "seconds",
    "its own",
    "shared",
];

impl Worth {
    fn table(&self) -> Table<9> {
        let mut table = Table::new(HEADINGS);
        for part in &self.parts {
            let [added, added_bytes, added_seconds] = cells(part.adds);
            let [taken, taken_bytes, taken_seconds] = cells(part.takes);
            let shared: usize = part.shares.shared.values().map(BTreeSet::len).sum();
            table.row([
                &part.name,
                &added,
                &added_bytes,
                &added_seconds,
                &taken,
                &taken_bytes,
                &taken_seconds,
                &part.shares.only.len().to_string(),
                &shared.to_string(),
            ]);
        }
        table
    }

    /// What the figures are about.
    fn remarks(&self) -> Vec<String> {
        let about = |word: &str, (slug, cost): &(String, super::Cost)| {
            let clean = cost.clean.map(|clean| format!(", {} bytes, {:.1} s", clean.bytes, clean.seconds));
            format!("{word} `{slug}`: {} crates{}", cost.crates, clean.unwrap_or_default())
        };
        let mut remarks =
            vec![about("the smallest build is", &self.smallest), about("the fullest is", &self.fullest)];
        let elsewhere =
            self.parts.iter().filter(|part| part.added_to.as_ref().is_some_and(|to| *to != self.smallest.0));
        remarks.extend(elsewhere.map(|part| {
            let to = part.added_to.as_deref().unwrap_or_default();
            format!("`{}` is added to `{to}`, because it is the smallest itself", part.name)
        }));
        remarks.extend(self.measured.clone());
        remarks
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.table().render();
        for remark in self.remarks() {
            text.push_str(&wrapped(&remark, 2));
        }
        for part in &self.parts {
            for (whose, crates) in lists(part) {
                text.push_str(&wrapped(&format!("{}, {whose}: {}", part.name, listed(crates)), 2));
            }
        }
        text
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = self.table().markdown();
        text.push('\n');
        for remark in self.remarks() {
            text.push_str(&format!("- {remark}\n"));
        }
        for part in &self.parts {
            for (whose, crates) in lists(part) {
                text.push_str(&format!("- `{}`, {whose}: {}\n", part.name, listed(crates)));
            }
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let cost = |(slug, cost): &(String, super::Cost)| {
            json!({
                "selection": slug,
                "crates": cost.crates,
                "bytes": cost.clean.map(|clean| clean.bytes),
                "seconds": cost.clean.map(|clean| clean.seconds),
            })
        };
        let parts = self.parts.iter().map(|part| {
            let shared = part.shares.shared.iter();
            let shared = shared.map(|(with, crates)| json!({ "with": with, "crates": names(crates) }));
            json!({
                "name": part.name,
                "kind": if part.is_driver { "driver" } else { "option" },
                "added_to": part.added_to,
                "adds": part.adds.map(delta),
                "takes": part.takes.map(delta),
                "only": names(&part.shares.only),
                "shared": shared.collect::<Vec<_>>(),
            })
        });
        json!({
            "schema_version": 1,
            "smallest": cost(&self.smallest),
            "fullest": cost(&self.fullest),
            "measured": self.measured,
            "parts": parts.collect::<Vec<_>>(),
        })
    }
}

/// The lists of a part that have something in them.
fn lists(part: &Part) -> impl Iterator<Item = (String, &BTreeSet<Id>)> {
    let only = (!part.shares.only.is_empty()).then(|| ("its own".to_owned(), &part.shares.only));
    let shared = part.shares.shared.iter();
    only.into_iter().chain(shared.map(|(with, crates)| (format!("shared with {}", with.join(", ")), crates)))
}

fn listed(crates: &BTreeSet<Id>) -> String {
    names(crates).join(", ")
}

fn names(crates: &BTreeSet<Id>) -> Vec<String> {
    crates.iter().map(shown).collect()
}

fn cells(delta: Option<Delta>) -> [String; 3] {
    let dash = || "-".to_owned();
    let Some(Delta { crates, bytes, seconds }) = delta else { return [dash(), dash(), dash()] };
    [
        crates.to_string(),
        bytes.map_or_else(dash, |bytes| bytes.to_string()),
        seconds.map_or_else(dash, |seconds| format!("{seconds:.1}")),
    ]
}

fn delta(delta: Delta) -> Value {
    json!({ "crates": delta.crates, "bytes": delta.bytes, "seconds": delta.seconds })
}
