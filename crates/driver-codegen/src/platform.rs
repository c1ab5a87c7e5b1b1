//! The manifest's platform words as one cfg predicate, and as words for people.

use driver_manifest::platform_cfg;

/// The words as one predicate, which holds where any of them does; `None` when there is no word: everywhere.
pub(crate) fn any(words: &[String]) -> Option<String> {
    match words {
        [] => None,
        [word] => Some(platform_cfg(word)),
        words => Some(format!(
            "any({})",
            words.iter().map(|word| platform_cfg(word)).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The words for people: `linux`, `linux or macos`.
pub(crate) fn prose(words: &[String]) -> String {
    match words {
        [] => "every platform".to_owned(),
        [word] => word.clone(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{any, prose};

    #[test]
    fn words_become_predicates() {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(any(&[]), None);
        assert_eq!(any(&words(&["unix"])).as_deref(), Some("unix"));
        assert_eq!(
            any(&words(&["linux", "target_arch = \"x86_64\""])).as_deref(),
            Some("any(target_os = \"linux\", target_arch = \"x86_64\")")
        );
        assert_eq!(prose(&words(&["linux", "macos", "unix"])), "linux, macos or unix");
    }
}
