//! How a leak would come into a file whose own graph is not at hand, or does not know it: by the graph of a build that has
//! what was left out. An explanation, and no evidence.

use crate::evidence::Graph;
use crate::layers::Ways;
use crate::question::{CrateId, Question, Target};
use crate::verdict::{Outcome, Verdict};

/// Adds to each leak that has no path the one by which its crate comes into a build that has its driver or option.
/// `graphs` are of such builds; the first that knows the way is taken.
pub fn explain(verdict: &mut Verdict, question: &Question, graphs: &[Graph]) {
    for row in &mut verdict.rows {
        let Some(target) = question.forbidden.iter().find(|target| target.name == row.target) else {
            continue;
        };
        for outcome in row.layers.values_mut() {
            let Outcome::Leak(findings) = outcome else { continue };
            for finding in findings.iter_mut().filter(|finding| finding.path.is_empty()) {
                let id = crate_of(&finding.of);
                finding.would = graphs.iter().find_map(|graph| way(graph, target, &id)).unwrap_or_default();
            }
        }
    }
}

/// The crate of `crate:name`, `name@version` or `name`.
fn crate_of(text: &str) -> CrateId {
    let text = text.strip_prefix("crate:").unwrap_or(text);
    match text.split_once('@') {
        Some((name, version)) => CrateId::new(name, Some(version)),
        None => CrateId::new(text, None),
    }
}

/// The way to a crate through the target's own package: what several drivers share is explained by the one that is asked
/// about. An option has no package, and the shortest way is as good as any.
fn way(graph: &Graph, target: &Target, id: &CrateId) -> Option<Vec<String>> {
    let from_root = Ways::new(Some(graph));
    let package = target.markers.iter().find_map(|marker| marker.strip_prefix("crate:"));
    let Some(package) = package else { return Some(from_root.way_to(id)).filter(|way| !way.is_empty()) };
    let mut way = from_root.way_to(&CrateId::new(package, None));
    let root = graph.packages.iter().position(|other| other.name == package)?;
    let own = Graph { root, packages: graph.packages.clone() };
    let rest = Ways::new(Some(&own)).way_to(id);
    // The package itself ends the first part and begins the second.
    way.pop()?;
    way.extend(rest.iter().cloned());
    (!rest.is_empty()).then_some(way)
}
