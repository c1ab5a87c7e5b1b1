//! A pass over data in four places at once.
//!
//! What an automaton does with a byte hangs on what it did with the one before, so a processor mostly waits for the
//! table. Four independent walks fill that time: one core searches some three times as much as in one walk.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::{Anchored, MatchError};

const LANES: usize = 4;

/// Calls `each` with the pattern and the end of every match, those that overlap among them; in no order.
pub(super) fn matches<A: Automaton>(
    automaton: &A,
    data: &[u8],
    mut each: impl FnMut(usize, usize),
) -> Result<(), MatchError> {
    let start = automaton.start_state(Anchored::No)?;
    let step = |state: StateID, byte: u8| automaton.next_state(Anchored::No, state, byte);
    let mut report = |state: StateID, end: usize| {
        if automaton.is_match(state) {
            for index in 0..automaton.match_len(state) {
                each(automaton.match_pattern(state, index).as_usize(), end);
            }
        }
    };
    let length = data.len() / LANES;
    // A match that began before a lane belongs to it when it ends there: the walk begins that much earlier.
    let lead = automaton.max_pattern_len();
    let mut states = [start; LANES];
    for (lane, state) in states.iter_mut().enumerate() {
        let begin = lane * length;
        *state = data[begin.saturating_sub(lead)..begin].iter().fold(start, |state, &byte| step(state, byte));
    }
    let (first, rest) = data.split_at(length);
    let (second, rest) = rest.split_at(length);
    let (third, rest) = rest.split_at(length);
    let (fourth, tail) = rest.split_at(length);
    let [mut a, mut b, mut c, mut d] = states;
    let bytes = first.iter().zip(second).zip(third).zip(fourth);
    for (at, (((&first, &second), &third), &fourth)) in bytes.enumerate() {
        a = step(a, first);
        b = step(b, second);
        c = step(c, third);
        d = step(d, fourth);
        let special = automaton.is_special(a)
            | automaton.is_special(b)
            | automaton.is_special(c)
            | automaton.is_special(d);
        if special {
            for (lane, state) in [a, b, c, d].into_iter().enumerate() {
                report(state, lane * length + at + 1);
            }
        }
    }
    for (at, &byte) in tail.iter().enumerate() {
        d = step(d, byte);
        report(d, LANES * length + at + 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aho_corasick::dfa::DFA;

    use super::*;

    /// Wherever a lane begins, a match is reported once.
    #[test]
    fn a_match_across_lanes_is_found_once() {
        let automaton = DFA::builder().prefilter(false).build(["needle", "eedl", "e"]).unwrap();
        for length in 0..60 {
            for at in 0..usize::saturating_sub(length + 1, 6) {
                let mut data = vec![b'.'; length];
                data[at..at + 6].copy_from_slice(b"needle");
                let mut found = Vec::new();
                matches(&automaton, &data, |pattern, end| found.push((pattern, end - at))).unwrap();
                found.sort_unstable();
                assert_eq!(found, [(0, 6), (1, 5), (2, 2), (2, 3), (2, 6)], "{at} of {length}");
            }
        }
    }
}
