//! Which sandbox a word means: a name, else the beginning of an id; and what was meant when it is neither.

use openshell_core::suggest::nearest;
use openshell_proto::openshell::v1::Sandbox;
use tonic::Code;

use crate::commands::pages;
use crate::error::CliError;
use crate::session::{One, Session};
use crate::view;

/// Fewer characters of an id are no choice, but a slip.
const SHORTEST: usize = 4;
/// No more candidates than this are told.
const TOLD: usize = 5;

/// Does something with the sandbox of that name; when the gateway knows no such name, with the one whose id begins so.
/// Gives back which one it was, too.
pub(crate) async fn named<A>(
    session: &Session,
    one: One,
    act: impl AsyncFn(&One) -> Result<A, CliError>,
) -> Result<(One, A), CliError> {
    match act(&one).await {
        Ok(done) => Ok((one, done)),
        Err(error) if error.refusal() == Some(Code::NotFound) => {
            let one = by_id(session, &one, error).await?;
            let done = act(&one).await?;
            Ok((one, done))
        }
        Err(error) => Err(error),
    }
}

/// The sandbox whose id begins with what was given; `unknown` is the error when there is none.
async fn by_id(session: &Session, given: &One, unknown: CliError) -> Result<One, CliError> {
    // Only when it cannot be told is the first error the better one.
    let Ok(sandboxes) = pages::all(session, given.workspace(), given.anywhere).await else {
        return Err(unknown);
    };
    match matching(&sandboxes, &given.name).as_slice() {
        [sandbox] => Ok(One::of(sandbox)),
        [] => {
            let here = |sandbox: &&Sandbox| One::of(sandbox).workspace() == given.workspace();
            let names: Vec<String> = sandboxes.iter().filter(here).map(view::name).collect();
            let near = nearest(&given.name, names.iter().map(String::as_str)).map(str::to_owned);
            Err(match near {
                Some(near) => unknown.did_you_mean(&near),
                None => unknown,
            })
        }
        several => {
            let told = several
                .iter()
                .take(TOLD)
                .map(|sandbox| format!("{} ({})", view::id(sandbox), view::name(sandbox)));
            let more = several.len().saturating_sub(TOLD);
            let more = (more > 0).then(|| format!("and {more} more"));
            let candidates = told.chain(more).collect::<Vec<_>>().join(", ");
            Err(CliError::Ambiguous {
                given: given.name.clone(),
                candidates: crate::text::clean(&candidates),
            })
        }
    }
}

fn matching<'a>(sandboxes: &'a [Sandbox], given: &str) -> Vec<&'a Sandbox> {
    if given.len() < SHORTEST {
        return Vec::new();
    }
    sandboxes.iter().filter(|sandbox| view::id(sandbox).starts_with(given)).collect()
}

#[cfg(test)]
mod tests {
    use openshell_proto::datamodel::v1::ObjectMeta;

    use super::*;

    #[test]
    fn at_least_four_characters_of_an_id_tell_it() {
        let sandbox = |id: &str| Sandbox {
            metadata: Some(ObjectMeta { id: id.to_owned(), ..ObjectMeta::default() }),
            ..Sandbox::default()
        };
        let all = [sandbox("0b5c1f0e"), sandbox("0b5c2222"), sandbox("11112222")];
        for (given, many) in [("0b5", 0), ("0b5c", 2), ("0b5c1", 1), ("0b5c1f0e", 1), ("2222", 0), ("", 0)] {
            assert_eq!(matching(&all, given).len(), many, "{given}");
        }
    }
}
