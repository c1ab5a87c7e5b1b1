//! The judgement: every layer is asked about every target, every control is made.

use crate::control;
use crate::evidence::Evidence;
use crate::image::{Image, Unreadable};
use crate::layers::{
    AuditLayer, BytesLayer, GraphLayer, MarkerLayer, MessagesLayer, ReportLayer, SymbolsLayer, Ways,
};
use crate::question::{Question, Target};
use crate::verdict::{Expectation, Layer, Outcome, Row, Verdict};

/// Says what is in a file. Never fails and never panics: a file that cannot be read is an answer, too.
#[must_use]
pub fn judge(question: &Question, evidence: &Evidence<'_>) -> Verdict {
    let required = if evidence.has_build() {
        vec![Layer::Graph, Layer::Messages, Layer::Marker, Layer::Bytes]
    } else if question.is_guest {
        vec![Layer::Marker, Layer::Bytes]
    } else {
        vec![Layer::Marker, Layer::Bytes, Layer::SelfReport]
    };
    let needs = |layer| required.contains(&layer);
    let read = Image::read(evidence.file);
    let image = read.as_ref();
    let unreadable = image.err().map(|why| format!("the file cannot be read: {why}"));

    let ways = Ways::new(evidence.graph.as_ref());
    let graph = GraphLayer::new(&ways, needs(Layer::Graph));
    let messages = MessagesLayer::new(question, evidence.messages.as_deref(), &ways, needs(Layer::Messages));
    let marker = MarkerLayer::new(question, image);
    // What is no program may well name a driver. A program that is damaged may still convict, but not clear.
    let searched = match image.err() {
        None
        | Some(
            Unreadable::Truncated { .. }
            | Unreadable::NoSectionTable
            | Unreadable::Packed(_)
            | Unreadable::Damaged(_),
        ) => evidence.file,
        Some(_) => &[],
    };
    let mut bytes = BytesLayer::new(question, searched, image.ok(), &ways);
    let symbols =
        SymbolsLayer::new(question, image.map_err(|why| format!("the file cannot be read: {why}")), &ways);
    let report = ReportLayer::new(image, evidence.run.as_ref(), needs(Layer::SelfReport));
    let audit = AuditLayer::new(image, &ways);

    let mut row = |target: &Target, expectation| {
        let mut see = |layer| match (layer, &unreadable) {
            (Layer::Graph, _) => graph.see(target, expectation),
            (Layer::Messages, _) => messages.see(target, expectation),
            (Layer::Bytes, Some(why)) => match bytes.see(target, expectation) {
                outcome @ (Outcome::Leak(_) | Outcome::Found(_)) => outcome,
                _ => Outcome::Blind(why.clone()),
            },
            (_, Some(why)) => Outcome::Blind(why.clone()),
            (Layer::Marker, _) => marker.see(target, expectation),
            (Layer::Bytes, _) => bytes.see(target, expectation),
            (Layer::Symbols, _) => symbols.see(target, expectation),
            (Layer::SelfReport, _) => report.see(target, expectation),
            (Layer::Audit, _) => audit.see(target, expectation),
        };
        Row {
            target: target.name.clone(),
            kind: target.kind,
            expectation,
            layers: Layer::ALL.into_iter().map(|layer| (layer, see(layer))).collect(),
        }
    };
    let strays = marker.strays.iter();
    let mut rows: Vec<Row> =
        question.forbidden.iter().chain(strays).map(|target| row(target, Expectation::Absent)).collect();
    let expected: Vec<Row> =
        question.expected.iter().map(|target| row(target, Expectation::Present)).collect();

    let (mut notes, mut rejected) = (Vec::new(), Vec::new());
    let mut controls = vec![
        control::question(question),
        control::readable(image),
        control::machine(question, image),
        control::markers(&marker),
        control::scanner(question, &bytes, &expected, image.is_ok()),
        control::twin(question, &bytes, &mut rejected),
        control::report(question, &report),
    ];
    controls.extend(question.is_guest.then(|| control::linked(image)));
    notes.extend(control::count(&rejected));
    rows.extend(expected);
    for target in &question.forbidden {
        for finding in messages.on_host(target) {
            notes
                .push(format!("`{}`, for the machine that builds, not for the file: {finding}", target.name));
        }
    }
    if let Some(overlay) = image.ok().map(Image::overlay).filter(|&overlay| overlay > 1 << 20) {
        notes.push(format!("{overlay} bytes are appended to the program; they were searched like the rest"));
    }
    Verdict {
        subject: question.subject.clone(),
        file: image.ok().map(Image::facts),
        unreadable: read.err(),
        required,
        rows,
        controls,
        notes,
        rejected: rejected.into_iter().map(|(_, why)| why).collect(),
    }
}
