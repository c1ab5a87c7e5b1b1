//! The name that somebody may have meant.

/// The candidate nearest to `name`, if one is near enough to be meant. Names of at most 128 bytes are looked at.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_ascii_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        // Longer texts are junk, and the distance costs their product.
        if candidate == name || wanted.len() > 128 {
            continue;
        }
        let offered = candidate.to_ascii_lowercase();
        // Two names of one family are not alike for the family's sake.
        let family = common_family(&wanted, &offered);
        let (wanted, offered) = (&wanted[family..], &offered[family..]);
        let distance = strsim::damerau_levenshtein(wanted, offered);
        let allowed = wanted.chars().count().max(offered.chars().count()).div_ceil(3).min(3);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The length of the words, each with its `-` or `/`, that two names begin with.
fn common_family(one: &str, other: &str) -> usize {
    let common = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    one.as_bytes()[..common].iter().rposition(|byte| matches!(byte, b'-' | b'/')).map_or(0, |last| last + 1)
}

/// The hint that follows from [`nearest`].
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Names as a list in a sentence: `` `a`, `b` ``.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_near_and_other_words_are_not() {
        let names = ["docker", "podman", "external"];
        assert_eq!(nearest("dokcer", names), Some("docker"));
        assert_eq!(nearest("Docker", names), Some("docker"));
        assert_eq!(nearest("externl", names), Some("external"));
        assert_eq!(nearest("qemu", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("openshell-driver-lxd", ["openshell-driver-next"]), None);
        assert_eq!(
            nearest("openshell-driver-dokcer", ["openshell-driver-docker"]),
            Some("openshell-driver-docker")
        );
    }
}
