//! References of images: which are safe to send, and what is in one.
//!
//! Source of the parts: `distribution/reference`, "Grammar", and its normalisation of names without a registry.

/// Docker Hub, by the name under which its images are referred to.
pub const HUB: &str = "docker.io";

/// Whether a text may be an image's reference. It becomes part of a request's path, so no letter gets through that
/// could mean something there.
pub fn check(text: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    if let Some(bad) = text.chars().find(|c| !good(*c)) {
        return Err(format!("holds `{}`, which no image reference does", bad.escape_debug()));
    }
    let whole = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric()) && !part.ends_with(['.', ':', '@', '-'])
    };
    if text.len() > 512 || !text.split('/').all(whole) {
        return Err("is not an image reference".to_owned());
    }
    // `user@host` is no such thing here: behind an `@` is a digest, and the name before it says where the image is.
    if text.split_once('@').is_some_and(|(_, digest)| !is_digest(digest)) {
        return Err("has something behind its `@` that is no digest".to_owned());
    }
    let (name, _) = split(text);
    let repository = match name.split_once('/') {
        Some((host, rest)) if is_registry(host) => rest,
        _ => name,
    };
    if repository.chars().any(|c| c.is_ascii_uppercase()) {
        return Err("has capital letters in its repository".to_owned());
    }
    Ok(())
}

/// Whether a text is `algorithm:hexadecimal`.
fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, digits)| {
        algorithm.starts_with(|c: char| c.is_ascii_lowercase())
            && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Whether the first part of a name is a registry and not part of a repository on Docker Hub.
fn is_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

/// Whether a reference is an image's id, which no registry knows.
pub fn is_id(reference: &str) -> bool {
    reference.strip_prefix("sha256:").is_some_and(|digits| {
        (12..=64).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// A reference as name and tag or digest. Without one it is `latest`: the engine would pull every tag there is.
pub fn split(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name, digest);
    }
    // A colon before the last slash belongs to a registry's port.
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

/// The registry of a reference and the repository there, both without tag and digest.
pub fn place(reference: &str) -> (&str, &str) {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    let (name, _) = split(name);
    match name.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", rest)) => (HUB, rest),
        Some((host, rest)) if is_registry(host) => (host, rest),
        _ => (HUB, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        for good in [
            "busybox",
            "busybox:1",
            "a/b/c:v1.2_x-3",
            "127.0.0.1:15000/a/b",
            "LOCALhost.example:5000/a:TAG",
            "a@sha256:0123456789abcdef",
            "sha256:0123456789abcdef",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a b",
            "../a",
            "a/../b",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a@",
            "a?x=1",
            "a#b",
            "a%2fb",
            "A",
            "a/B:1",
            "-a",
            "a\n",
            "ü",
            "user@registry.example/a",
            "user:pw@registry.example/a",
            "a@b@sha256:ff",
            "a@sha256:ff/b",
            "a@latest",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_are_told_from_names() {
        assert!(is_id("sha256:0123456789ab") && is_id(&format!("sha256:{}", "f".repeat(64))));
        for name in ["sha256", "sha256:1", "sha256:latest-build", "a@sha256:0123456789ab", "0123456789ab"] {
            assert!(!is_id(name), "{name}");
        }
    }

    #[test]
    fn a_pull_always_names_one_tag() {
        assert_eq!(split("a"), ("a", "latest"));
        assert_eq!(split("h:5000/a"), ("h:5000/a", "latest"));
        assert_eq!(split("h:5000/a:1"), ("h:5000/a", "1"));
        assert_eq!(split("a:1@sha256:ff"), ("a:1", "sha256:ff"));
        assert_eq!(split("a@sha256:ff"), ("a", "sha256:ff"));
    }

    #[test]
    fn the_registry_is_the_first_part_that_can_be_one() {
        for (reference, expected) in [
            ("busybox:1", ("docker.io", "busybox")),
            ("library/busybox", ("docker.io", "library/busybox")),
            ("index.docker.io/a/b", ("docker.io", "a/b")),
            ("localhost/a", ("localhost", "a")),
            ("ghcr.io/a/b:1@sha256:ff", ("ghcr.io", "a/b")),
            ("127.0.0.1:5000/a", ("127.0.0.1:5000", "a")),
            ("evil/ghcr.io/a", ("docker.io", "evil/ghcr.io/a")),
        ] {
            assert_eq!(place(reference), expected, "{reference}");
        }
    }
}
