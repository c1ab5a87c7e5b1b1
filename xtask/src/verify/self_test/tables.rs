//! Both tables, for a terminal, as Markdown and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::plant::Plant;
use super::seen::{End, list};
use super::{Asked, Pair, Seen};
use crate::table::Table;
use crate::verify::colour;

const RED: &str = "\x1b[1;31m";
const RESET: &str = "\x1b[0m";

/// How the tables are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Markdown,
    Json,
}

impl Form {
    pub(super) fn of(asked: &Asked) -> Self {
        match (asked.json, asked.markdown) {
            (true, _) => Self::Json,
            (false, true) => Self::Markdown,
            (false, false) => Self::Text,
        }
    }

    /// A row that is not as it has to be, on standard error.
    pub(super) fn alarm(self, row: &str) -> String {
        if colour(&std::io::stderr()) { format!("{RED}{row}{RESET}") } else { row.to_owned() }
    }
}

/// The first table: what was planted, and what was seen of it.
pub(super) struct Leaks(pub(super) Vec<(&'static Plant, Seen)>);

impl Plant {
    /// Whether exactly those saw it who had to, and it was named.
    fn holds(&self, seen: &Seen) -> bool {
        seen.end == self.end
            && seen.eyes == self.eyes
            && (self.named.is_empty() || seen.said.iter().any(|said| said.contains(self.named)))
    }
}

impl Leaks {
    fn table(&self) -> Table<4> {
        let mut table = Table::new(["planted", "seen by", "answer", "exit code"]);
        for (plant, seen) in &self.0 {
            table.row([plant.planted, &seen.by(), seen.end.word(), &seen.end.exit_code().to_string()]);
        }
        table
    }

    pub(super) fn markdown(&self) -> String {
        self.table().markdown().trim_end().to_owned()
    }

    /// The rows that are not as they have to be, each by its name.
    pub(super) fn missed(&self) -> Vec<String> {
        let missed = self.0.iter().filter(|(plant, seen)| !plant.holds(seen));
        missed
            .map(|(plant, seen)| {
                let named = match plant.named {
                    "" => String::new(),
                    word => format!(", and `{word}` said"),
                };
                format!(
                    "MISSED: {}: {}, seen by [{}]; it has to be {}, seen by [{}]{named}{}",
                    plant.planted,
                    seen.end.word(),
                    seen.by(),
                    plant.end.word(),
                    list(plant.eyes),
                    said(seen),
                )
            })
            .collect()
    }

    fn json(&self) -> Vec<Value> {
        let rows = self.0.iter().map(|(plant, seen)| {
            let mut row = seen_json(seen);
            row["planted"] = json!(plant.planted);
            row["expected"] = json!({ "answer": plant.end.word(), "seen_by": words(plant.eyes) });
            row["holds"] = json!(plant.holds(seen));
            row
        });
        rows.collect()
    }
}

/// The second table: profiles, with and without the driver.
pub(super) struct Profiles {
    region: &'static str,
    /// What was built.
    pub(super) of: String,
    pairs: Vec<Pair>,
}

impl Profiles {
    pub(super) fn of_fixture(pairs: Vec<Pair>) -> Self {
        Self { region: "profiles", of: "the fixture, without and with the driver `sun`".to_owned(), pairs }
    }

    pub(super) fn of_gateway(of: String, pairs: Vec<Pair>) -> Self {
        Self { region: "gateway", of, pairs }
    }

    fn table(&self) -> Table<5> {
        let mut table = Table::new([
            "profile",
            "without it",
            "with it",
            "seen by, with its build",
            "seen by, the file alone",
        ]);
        for pair in &self.pairs {
            let worst = |seen: &[Seen; 2], hoped: End| {
                let other = seen.iter().find(|seen| seen.end != hoped);
                other.map_or(hoped, |seen| seen.end).word()
            };
            let [build, file] = &pair.with;
            let (without, with) = (worst(&pair.without, End::Clean), worst(&pair.with, End::Leak));
            table.row([pair.profile, without, with, &build.by(), &file.by()]);
        }
        table
    }

    /// The name of its region in the documentation, and its text.
    pub(super) fn region(&self) -> (&'static str, String) {
        (self.region, self.table().markdown().trim_end().to_owned())
    }

    /// The profiles in which a clean build is accused, or a leak is missed by a layer that can see it.
    pub(super) fn missed(&self) -> Vec<String> {
        let missed = self.pairs.iter().filter(|pair| !pair.holds());
        missed
            .map(|pair| {
                let cases = [("without it", &pair.without), ("with it", &pair.with)];
                let cases =
                    cases.into_iter().flat_map(|(what, both)| both.iter().map(move |seen| (what, seen)));
                let cases = cases.map(|(what, seen)| {
                    format!("\n  {what}: {}, seen by [{}]{}", seen.end.word(), seen.by(), said(seen))
                });
                let shows = match pair.shows {
                    "" => String::new(),
                    text => format!(" ({text} has to be in the file that has it)"),
                };
                format!("MISSED: {}, profile {}{shows}:{}", self.of, pair.profile, cases.collect::<String>())
            })
            .collect()
    }

    fn json(&self) -> Value {
        let rows = self.pairs.iter().map(|pair| {
            let both =
                |seen: &[Seen; 2]| json!({ "build": seen_json(&seen[0]), "file": seen_json(&seen[1]) });
            json!({
                "profile": pair.profile,
                "without": both(&pair.without),
                "with": both(&pair.with),
                "holds": pair.holds(),
            })
        });
        json!({ "of": self.of, "rows": rows.collect::<Vec<_>>() })
    }
}

/// Both tables in a form.
pub(super) fn text(leaks: Option<&Leaks>, profiles: &Profiles, form: Form, took: Duration) -> String {
    match form {
        Form::Json => {
            let leaks = leaks.map(Leaks::json);
            let all = json!({ "schema_version": 1, "leaks": leaks, "profiles": profiles.json() });
            format!("{all:#}\n")
        }
        Form::Markdown => {
            let leaks = leaks.map(|leaks| format!("{}\n\n", leaks.markdown())).unwrap_or_default();
            format!("{leaks}{}\n", profiles.region().1)
        }
        Form::Text => {
            let leaks = leaks.map(|leaks| format!("{}\n", leaks.table().render())).unwrap_or_default();
            let took = took.as_secs_f64();
            format!("{leaks}{}:\n{}\n{took:.0} s\n", profiles.of, profiles.table().render())
        }
    }
}

fn words(eyes: &[super::seen::Eye]) -> Vec<String> {
    eyes.iter().map(ToString::to_string).collect()
}

fn seen_json(seen: &Seen) -> Value {
    json!({
        "answer": seen.end.word(),
        "exit_code": seen.end.exit_code(),
        "seen_by": words(&seen.eyes),
        "said": seen.said,
    })
}

/// The first things that were said, a line each.
fn said(seen: &Seen) -> String {
    seen.said.iter().take(6).map(|said| format!("\n    {said}")).collect()
}

#[cfg(test)]
mod tests {
    use driver_verify::Layer;

    use super::super::seen::Eye;
    use super::*;

    static PLANT: Plant = Plant {
        planted: "a leak",
        end: End::Leak,
        eyes: &[Eye::Layer(Layer::Marker), Eye::Layer(Layer::Bytes)],
        named: "crate:sun",
        run: |_| Ok(Seen::nothing()),
    };

    fn leak(layers: &[Layer], said: &str) -> Seen {
        let eyes = layers.iter().map(|layer| Eye::Layer(*layer)).collect();
        Seen { end: End::Leak, eyes, said: vec![said.to_owned()] }
    }

    #[test]
    fn a_leak_that_one_layer_misses_is_missed_though_another_sees_it() {
        let missed = |seen| Leaks(vec![(&PLANT, seen)]).missed();
        assert!(missed(leak(&[Layer::Marker, Layer::Bytes], "`crate:sun` is there")).is_empty());
        let blind = missed(leak(&[Layer::Marker], "`crate:sun` is there"));
        assert!(
            blind[0].starts_with("MISSED: a leak: leak, seen by [marker]; it has to be leak"),
            "{blind:?}"
        );
        let more = missed(leak(&[Layer::Marker, Layer::Bytes, Layer::Symbols], "`crate:sun` is there"));
        assert_eq!(more.len(), 1, "a layer that sees what it cannot see is as wrong");
        assert_eq!(missed(leak(&[Layer::Marker, Layer::Bytes], "something")).len(), 1, "nobody named it");
        assert_eq!(missed(Seen::nothing()).len(), 1);
    }

    #[test]
    fn a_profile_holds_when_nothing_clean_is_accused_and_no_leak_missed() {
        let seen = || leak(&[Layer::Messages, Layer::Marker, Layer::Bytes], "x");
        let pair = |without: Seen, with: Seen| {
            let without = [without, Seen::nothing()];
            Profiles::of_fixture(vec![Pair { profile: "release", without, with: [seen(), with], shows: "x" }])
        };
        assert!(pair(Seen::nothing(), seen()).missed().is_empty());
        let unproven = Seen { eyes: vec![Eye::Rejected], ..Seen::nothing() };
        assert!(pair(unproven, seen()).missed().is_empty());
        let accused = pair(leak(&[Layer::Bytes], "x"), seen());
        assert!(accused.missed()[0].contains("profile release"), "{:?}", accused.missed());
        assert!(accused.region().1.contains("| release | leak | leak |"), "{}", accused.region().1);
        assert_eq!(pair(Seen::nothing(), Seen::nothing()).missed().len(), 1);
        let other = leak(&[Layer::Messages, Layer::Marker, Layer::Bytes], "y");
        assert_eq!(pair(Seen::nothing(), other).missed().len(), 1, "another build than the profile's");
        assert_eq!(pair(Seen::nothing(), leak(&[Layer::Marker], "x")).missed().len(), 1, "bytes are blind");
    }
}
