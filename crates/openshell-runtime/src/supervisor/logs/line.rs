//! A line as it is kept: of the sandbox that sent it, and no longer than it may be.

use openshell_proto::openshell::v1::SandboxLogLine;

/// The most bytes of a message.
const MAX_MESSAGE: usize = 16 * 1024;
/// The most bytes of a level, a target, a source, and of a field's name.
const MAX_WORD: usize = 256;
/// The most bytes of a field's value, and the most fields.
const MAX_FIELD: usize = 1024;
const MAX_FIELDS: usize = 32;
/// What a message that was cut ends with.
const CUT: &str = "… (cut)";
/// About what a line takes on top of its texts, and an entry of a map.
const OVERHEAD: usize = 192;
const ENTRY: usize = 64;

/// A line of `sandbox`, whatever it says of itself, cut to size.
pub(super) fn bounded(mut line: SandboxLogLine, sandbox: &str) -> SandboxLogLine {
    sandbox.clone_into(&mut line.sandbox_id);
    for word in [&mut line.level, &mut line.target, &mut line.source] {
        cut(word, MAX_WORD, "");
    }
    cut(&mut line.message, MAX_MESSAGE, CUT);
    if line.fields.iter().any(|(name, _)| name.len() > MAX_WORD) || line.fields.len() > MAX_FIELDS {
        let fields = std::mem::take(&mut line.fields);
        line.fields =
            fields.into_iter().filter(|(name, _)| name.len() <= MAX_WORD).take(MAX_FIELDS).collect();
    }
    line.fields.values_mut().for_each(|value| cut(value, MAX_FIELD, CUT));
    line
}

/// Cuts a text between two characters.
fn cut(text: &mut String, at_most: usize, mark: &str) {
    if text.len() > at_most {
        text.truncate(text.floor_char_boundary(at_most - mark.len()));
        text.push_str(mark);
        text.shrink_to_fit();
    }
}

/// About what a line takes.
pub(super) fn size(line: &SandboxLogLine) -> usize {
    let SandboxLogLine { sandbox_id, level, target, message, source, fields, .. } = line;
    let fields: usize = fields.iter().map(|(name, value)| name.len() + value.len() + ENTRY).sum();
    OVERHEAD + sandbox_id.len() + level.len() + target.len() + message.len() + source.len() + fields
}
