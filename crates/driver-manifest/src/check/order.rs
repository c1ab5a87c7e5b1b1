//! The order of the drivers: that of the entries, and in overlays `before` and `after`.
//!
//! Entries without a place of their own keep the order they have. The others are put right beside the driver that they
//! name. What no order fulfils is a cycle, and the report shows every place that has a part in it.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::diagnostic::{Code, Sink, Span};
use crate::model::Assembly;
use crate::raw::{At, RawManifest};

use super::{Known, presets};

/// One driver has to come before another.
#[derive(Debug, Clone)]
struct Edge {
    first: String,
    then: String,
    why: Why,
}

/// Who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// The order of the entries; the place of the later one, if it is in this text.
    Entries(Option<Span>),
    /// `before` of the first one, here.
    Before(Span),
    /// `after` of the second one, here.
    After(Span),
}

impl Why {
    /// Where a key says so, if it is a key.
    fn key(&self) -> Option<&Span> {
        match self {
            Self::Before(span) | Self::After(span) => Some(span),
            Self::Entries(_) => None,
        }
    }
}

/// The names in their final order, when keys have a say in it.
pub(super) fn check(
    raw: &RawManifest,
    base: &Assembly,
    context: &Context,
    known: &Known,
    sink: &mut Sink,
) -> Option<Vec<String>> {
    if !context.is_overlay() {
        main_manifest(raw, sink);
        return None;
    }
    let mut graph = Graph::of(raw, base, known, sink);
    while let Some(cycle) = graph.cycle() {
        report(&cycle, sink);
        // Go on without what was reported, so that every other cycle is reported too.
        let places: Vec<&Why> = cycle.iter().map(|edge| &edge.why).collect();
        graph.edges.retain(|edge| edge.why.key().is_none() || !places.contains(&&edge.why));
    }
    Some(graph.sorted())
}

fn main_manifest(raw: &RawManifest, sink: &mut Sink) {
    for entry in &raw.drivers {
        for (key, field) in [("before", &entry.before), ("after", &entry.after)] {
            if let Some(span) = field.key() {
                sink.error(Code::OverlayOnly, span.clone(), format!("`{key}` is for overlays"))
                    .label("here the order of the entries is the order")
                    .hint("leave it out and move the entry");
            }
        }
    }
}

fn report(cycle: &[Edge], sink: &mut Sink) {
    let mut keys: Vec<(&Edge, Span)> = Vec::new();
    let mut entries: Vec<(&Edge, Span)> = Vec::new();
    for edge in cycle {
        match &edge.why {
            Why::Before(span) | Why::After(span) => keys.push((edge, span.clone())),
            Why::Entries(Some(span)) => entries.push((edge, span.clone())),
            Why::Entries(None) => {}
        }
    }
    keys.sort_by_key(|(_, span)| span.start);
    let Some(((edge, span), others)) = keys.split_first() else { return };
    let says = |edge: &Edge| format!("`{}` before `{}`", edge.first, edge.then);
    let error = sink.error(
        Code::OrderCycle,
        span.clone(),
        format!("no order puts {}", {
            let all: Vec<String> = cycle.iter().map(says).collect();
            all.join(" and ")
        }),
    );
    error.label(format!("{}, it says here", says(edge)));
    for (edge, span) in others {
        error.also(span.clone(), format!("{}, it says here", says(edge)));
    }
    for (edge, span) in entries {
        error.also(span, format!("{}, by the order of the entries", says(edge)));
    }
    for edge in cycle.iter().filter(|edge| edge.why == Why::Entries(None)) {
        error.hint(format!("the main manifest has {}", says(edge)));
    }
    error.hint("leave one of the keys out, or name another driver");
}

/// The drivers and what is to come before what.
struct Graph {
    /// In the order of the entries, those of the main manifest first.
    names: Vec<String>,
    /// Names with a place of their own.
    placed: BTreeSet<String>,
    edges: Vec<Edge>,
}

impl Graph {
    fn of(raw: &RawManifest, base: &Assembly, known: &Known, sink: &mut Sink) -> Self {
        let mut graph = Self { names: Vec::new(), placed: BTreeSet::new(), edges: Vec::new() };
        let mut fixed: Option<String> = None;
        let mut fix = |name: &str, span: Option<Span>, edges: &mut Vec<Edge>| {
            if let Some(first) = fixed.replace(name.to_owned()) {
                edges.push(Edge { first, then: name.to_owned(), why: Why::Entries(span) });
            }
        };
        for driver in &base.drivers {
            graph.names.push(driver.name.clone());
            fix(&driver.name, None, &mut graph.edges);
        }
        for entry in &raw.drivers {
            let Some(name) = entry.name.get() else { continue };
            // A second driver of one name is reported where names are checked.
            if graph.names.contains(&name.value) {
                continue;
            }
            graph.names.push(name.value.clone());
            if entry.before.key().is_none() && entry.after.key().is_none() {
                fix(&name.value, Some(name.span.clone()), &mut graph.edges);
                continue;
            }
            graph.placed.insert(name.value.clone());
            if let Some(then) = entry.before.get().filter(|anchor| anchored(name, anchor, known, sink)) {
                let why = Why::Before(then.span.clone());
                graph.edges.push(Edge { first: name.value.clone(), then: then.value.clone(), why });
            }
            if let Some(first) = entry.after.get().filter(|anchor| anchored(name, anchor, known, sink)) {
                let why = Why::After(first.span.clone());
                graph.edges.push(Edge { first: first.value.clone(), then: name.value.clone(), why });
            }
        }
        let names = graph.names.clone();
        graph.edges.retain(|edge| names.contains(&edge.first) && names.contains(&edge.then));
        graph
    }

    fn before<'g>(&'g self, name: &'g str) -> impl Iterator<Item = &'g Edge> {
        self.edges.iter().filter(move |edge| edge.then == name)
    }

    /// A cycle, with runs of the order of entries drawn together, if there is one.
    fn cycle(&self) -> Option<Vec<Edge>> {
        let mut done = BTreeSet::new();
        self.names.iter().find_map(|name| self.cycle_from(name, &mut Vec::new(), &mut done)).map(merged)
    }

    fn cycle_from<'g>(
        &'g self,
        name: &'g str,
        path: &mut Vec<&'g Edge>,
        done: &mut BTreeSet<&'g str>,
    ) -> Option<Vec<Edge>> {
        // The path runs backwards, from a driver to what has to come before it.
        if let Some(start) = path.iter().position(|edge| edge.then == name) {
            return Some(path[start..].iter().rev().map(|edge| (*edge).clone()).collect());
        }
        if done.contains(name) {
            return None;
        }
        for edge in self.before(name) {
            path.push(edge);
            let found = self.cycle_from(&edge.first, path, done);
            path.pop();
            if found.is_some() {
                return found;
            }
        }
        done.insert(name);
        None
    }

    /// The names, each right beside the one that it is put before or after. There is no cycle any more.
    fn sorted(&self) -> Vec<String> {
        let mut out = Vec::new();
        for name in self.names.iter().filter(|name| !self.placed.contains(*name)) {
            self.put(name, &mut BTreeSet::new(), &mut out);
        }
        for name in &self.names {
            self.put(name, &mut BTreeSet::new(), &mut out);
        }
        out
    }

    fn put<'g>(&'g self, name: &'g str, waiting: &mut BTreeSet<&'g str>, out: &mut Vec<String>) {
        if out.iter().any(|done| done == name) {
            return;
        }
        waiting.insert(name);
        for edge in self.before(name) {
            self.put(&edge.first, waiting, out);
        }
        waiting.remove(name);
        out.push(name.to_owned());
        // What is put after this one follows at once, unless it needs something that is not due yet.
        for edge in self.edges.iter().filter(|edge| edge.first == name && matches!(edge.why, Why::After(_))) {
            if !self.waits(&edge.then, waiting, out) {
                self.put(&edge.then, waiting, out);
            }
        }
    }

    /// Whether `name`, or something that has to come before it, is being put already, further up.
    fn waits(&self, name: &str, waiting: &BTreeSet<&str>, out: &[String]) -> bool {
        waiting.contains(name)
            || self
                .before(name)
                .any(|edge| !out.contains(&edge.first) && self.waits(&edge.first, waiting, out))
    }
}

/// Neighbours that the order of the entries joins are one statement: the first before the last.
fn merged(cycle: Vec<Edge>) -> Vec<Edge> {
    let mut cycle = cycle;
    // Begin after a key, so that no run is cut in two by where the cycle was entered.
    if let Some(key) = cycle.iter().position(|edge| edge.why.key().is_some()) {
        cycle.rotate_left(key);
    }
    let mut out: Vec<Edge> = Vec::new();
    for edge in cycle {
        match (out.last_mut(), &edge.why) {
            (Some(last), Why::Entries(_))
                if matches!(last.why, Why::Entries(_)) && last.then == edge.first =>
            {
                last.then = edge.then;
                last.why = edge.why;
            }
            _ => out.push(edge),
        }
    }
    out
}

/// Whether a driver can be put beside `anchor`.
fn anchored(name: &At<String>, anchor: &At<String>, known: &Known, sink: &mut Sink) -> bool {
    if name.value == anchor.value {
        sink.error(
            Code::OrderCycle,
            anchor.span.clone(),
            format!("`{}` cannot come before or after itself", name.value),
        )
        .hint("name another driver, or leave the key out");
        return false;
    }
    presets::driver(anchor, known, sink);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(fixed: &[&str], placed: &[(&str, &str, &str)]) -> Vec<String> {
        let mut names: Vec<String> = fixed.iter().map(|name| (*name).to_owned()).collect();
        let edge =
            |first: &str, then: &str, why| Edge { first: first.to_owned(), then: then.to_owned(), why };
        let mut edges: Vec<Edge> =
            fixed.windows(2).map(|pair| edge(pair[0], pair[1], Why::Entries(None))).collect();
        for (index, (name, key, anchor)) in placed.iter().enumerate() {
            let span = index..index + 1;
            edges.push(match *key {
                "before" => edge(name, anchor, Why::Before(span)),
                _ => edge(anchor, name, Why::After(span)),
            });
            if !names.iter().any(|known| known == name) {
                names.push((*name).to_owned());
            }
        }
        let placed = placed.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let graph = Graph { names, placed, edges };
        assert!(graph.cycle().is_none());
        graph.sorted()
    }

    #[test]
    fn drivers_are_put_right_beside_their_anchor() {
        assert_eq!(sorted(&["a", "b"], &[("x", "after", "a")]), ["a", "x", "b"]);
        assert_eq!(sorted(&["a", "b"], &[("x", "before", "b")]), ["a", "x", "b"]);
        assert_eq!(sorted(&["a", "b"], &[("x", "before", "a"), ("y", "before", "x")]), ["y", "x", "a", "b"]);
        assert_eq!(sorted(&["a", "b"], &[("x", "after", "a"), ("y", "after", "a")]), ["a", "x", "y", "b"]);
        assert_eq!(sorted(&["a", "b"], &[("x", "after", "y"), ("y", "after", "a")]), ["a", "y", "x", "b"]);
    }

    #[test]
    fn an_order_is_found_where_there_is_one() {
        // What follows `a` cannot follow at once here: it waits for `b`.
        let order = sorted(&["a", "b"], &[("p", "after", "a"), ("q", "before", "p"), ("q", "after", "b")]);
        assert_eq!(order, ["a", "b", "q", "p"]);
        assert_eq!(sorted(&["a", "m"], &[("x", "after", "a"), ("m", "before", "x")]), ["a", "m", "x"]);
    }
}
