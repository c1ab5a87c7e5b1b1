//! "Did you mean": the nearest of several names.

/// The candidate nearest to `name`, when one is near enough to have been meant. Case does not count.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    // A third of the name may be wrong, and one letter of a short one.
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Names as people list them: `` `a`, `b` ``.
pub fn quoted<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_of_the_finger_and_nothing_far_fetched() {
        let names = ["kubernetes", "podman", "docker", "vm"];
        assert_eq!(nearest("dokcer", names), Some("docker"));
        assert_eq!(nearest("Docker", names), Some("docker"));
        assert_eq!(nearest("kubernets", names), Some("kubernetes"));
        assert_eq!(nearest("wm", names), Some("vm"));
        assert_eq!(nearest("firecracker", names), None);
        assert_eq!(nearest("", names), None);
    }
}
