//! The second table: in every profile the gateway without the driver is clean, and the gateway that has it is caught, both
//! by what its build left and by the file alone.

use driver_manifest::{Assembly, Selection};
use driver_verify::Layer;

use super::fixture::{Fixture, cargo_args};
use super::judging::{alone, folder, mistaken};
use super::profile::Profile;
use super::seen::{End, Eye, Seen};
use crate::build::{Job, Made};
use crate::error::Result;
use crate::workspace::{GATEWAY_BIN, Workspace};

/// What sees the driver whatever a profile takes away.
const ALWAYS: [Eye; 2] = [Eye::Layer(Layer::Marker), Eye::Layer(Layer::Bytes)];

/// Two gateways in one profile.
pub(super) struct Pair {
    pub(super) profile: &'static str,
    /// Without the driver: with its build at hand, and the file alone.
    pub(super) without: [Seen; 2],
    /// With it, judged as one that has it not: likewise.
    pub(super) with: [Seen; 2],
    /// What has to be said of the file that has it, so that the profile is known to have done what it says.
    pub(super) shows: &'static str,
}

impl Pair {
    /// No clean build accused, no leak missed.
    pub(super) fn holds(&self) -> bool {
        // That some clue was never seen where it is, is no accusation: another one was.
        let accused =
            |seen: &Seen| seen.end != End::Clean || seen.eyes.iter().any(|eye| *eye != Eye::Rejected);
        let caught = |seen: &Seen| seen.end == End::Leak && ALWAYS.iter().all(|eye| seen.eyes.contains(eye));
        !self.without.iter().any(accused)
            && self.with.iter().all(caught)
            && self.with[1].said.iter().any(|said| said.contains(self.shows))
            && self.with[0].eyes.contains(&Eye::Layer(Layer::Messages))
    }
}

/// The fixture in one profile.
pub(super) fn of_fixture(fixture: &mut Fixture, profile: &'static Profile) -> Result<Pair> {
    if profile.vendored {
        fixture.vendor()?
    } else {
        fixture.plant(&[])?
    }
    let workspace = fixture.workspace(profile)?;
    let (less, more) = (fixture.selection(&["moon"], &[])?, fixture.selection(&["sun", "moon"], &[])?);
    let pair = pair(&workspace, &fixture.assembly, profile, &less, &more)?;
    Ok(Pair { shows: profile.shows, ..pair })
}

/// A gateway of `less` and one of `more`, which is judged as one of `less`.
pub(super) fn pair(
    workspace: &Workspace,
    assembly: &Assembly,
    profile: &'static Profile,
    less: &Selection,
    more: &Selection,
) -> Result<Pair> {
    let build =
        |selection: &Selection| Job::gateway(assembly, selection.clone(), &cargo_args()).run(workspace, None);
    let of_file =
        |made: &Made| alone(workspace, assembly, &made.folder.join(GATEWAY_BIN), less.clone(), None);
    let made = build(less)?;
    let without = [folder(workspace, assembly, &made)?, of_file(&made)?];
    let made = build(more)?;
    let with = [mistaken(workspace, assembly, &made, less)?, of_file(&made)?];
    Ok(Pair { profile: profile.name, without, with, shows: "" })
}
