//! `verify-compiled-out --self-test`: a check that cannot fail proves nothing, so leaks are planted, and each has to be seen by
//! exactly the eyes that it is meant for; and no clean build may be accused in any profile.
//!
//! ```text
//! xtask/fixture ─copy, generate, plant▶ target/self-test ─cargo▶ files ─Verifier▶ Seen ─┬▶ tables, exit code
//!                                            the code that judges a gateway ────┘       └▶ docs/verification.md
//! ```

mod document;
mod faults;
mod fixture;
mod full;
mod judging;
mod leaks;
mod plant;
mod profile;
mod profiles;
mod seen;
mod spoilt;
mod tables;

use std::time::Instant;

use crate::error::Result;
use crate::table::out;
use crate::workspace::Workspace;
use document::Document;
use faults::FAULTS;
use fixture::Fixture;
use leaks::LEAKS;
use profile::Profile;
use profiles::Pair;
use seen::Seen;
use tables::{Form, Leaks, Profiles};

/// What `--self-test` is asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The profiles on the real gateway instead of the fixture.
    pub(super) full: bool,
    /// Of the profiles only these; all where there is none.
    pub(super) only: Vec<String>,
    /// The tables are written into the documentation, not compared with it.
    pub(super) write: bool,
    pub(super) json: bool,
    pub(super) markdown: bool,
}

/// Runs it; 0 when every row is as it has to be and the committed tables say the same, else 1.
pub(super) fn run(workspace: &Workspace, asked: &Asked) -> Result<u8> {
    let began = Instant::now();
    let (leaks, profiles) = match asked.full {
        false => {
            let mut fixture = Fixture::new(workspace)?;
            let leaks = LEAKS.iter().chain(FAULTS).map(|plant| {
                // What cargo says of a row stands below its name.
                eprintln!("self-test: {}", plant.planted);
                Ok((plant, (plant.run)(&mut fixture)?))
            });
            let leaks = leaks.collect::<Result<Vec<_>>>()?;
            let pairs = Profile::ALL.iter().map(|profile| {
                eprintln!("self-test: profile {}", profile.name);
                profiles::of_fixture(&mut fixture, profile)
            });
            (Some(Leaks(leaks)), Profiles::of_fixture(pairs.collect::<Result<Vec<Pair>>>()?))
        }
        true => (None, full::gateway(workspace, &asked.only)?),
    };
    let form = Form::of(asked);
    out(&tables::text(leaks.as_ref(), &profiles, form, began.elapsed()));
    let mut missed = profiles.missed();
    missed.extend(leaks.iter().flat_map(Leaks::missed));
    for row in &missed {
        eprintln!("{}", form.alarm(row));
    }
    let mut document = Document::read(workspace)?;
    let tables = leaks.iter().map(|leaks| ("leaks", leaks.markdown())).chain([profiles.region()]);
    let tables = tables.collect::<Vec<_>>();
    if asked.write {
        for (name, table) in &tables {
            document.fill(name, table)?;
        }
        document.write(workspace)?;
        return Ok(u8::from(!missed.is_empty()));
    }
    // Two gateways of a driver that is added or moved are others; their table is what it was when it was written.
    let compared = tables.iter().filter(|_| !asked.full);
    let stale = compared.filter(|(name, table)| document.region(name) != Some(table.as_str()));
    let stale: Vec<_> = stale.map(|(name, _)| Document::stale(name)).collect();
    for row in &stale {
        eprintln!("{}", form.alarm(row));
    }
    Ok(u8::from(!missed.is_empty() || !stale.is_empty()))
}
