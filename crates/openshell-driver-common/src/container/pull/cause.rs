//! Why a pull failed. An engine answers with a status that tells little and words that tell all, so the words are read.

use super::super::image::split;

/// What kept an image away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The registry has no such repository or tag.
    Absent,
    /// The registry wants to know who asks, or says no to who did.
    Denied,
    /// The registry does not answer.
    Away,
    /// The registry answers, and wants to be asked less.
    Busy,
    /// The engine does not trust the registry's certificate, or it has none.
    Untrusted,
    /// The engine's disk is full.
    NoSpace,
    /// The reference makes no sense to the engine.
    BadReference,
    /// There is such an image, for other machines.
    Platform,
    /// The engine itself went away.
    Engine,
    /// Something else.
    Other,
}

/// Words of engines from 20.10 on, with containerd's image store or without, and of registries, and what they mean; the
/// first that is found counts.
const WORDS: &[(Cause, &[&str])] = &[
    (Cause::NoSpace, &["no space left on device", "disk quota exceeded"]),
    (
        Cause::Platform,
        &[
            "no matching manifest",
            "no match for platform",
            "does not match the specified platform",
            "no image found in manifest list",
        ],
    ),
    (Cause::Busy, &["toomanyrequests", "too many requests", "rate limit"]),
    (Cause::Untrusted, &["x509:", "server gave http response to https client", "tls: ", "certificate"]),
    (
        Cause::Denied,
        &[
            "unauthorized",
            "no basic auth credentials",
            "access denied",
            "access to the resource is denied",
            "authentication required",
            "incorrect username or password",
            "forbidden",
            "insufficient_scope",
            "authorization failed",
        ],
    ),
    (
        Cause::Away,
        &[
            "connection refused",
            "connection reset",
            "no such host",
            "no route to host",
            "network is unreachable",
            "temporary failure in name resolution",
            "server misbehaving",
            "timeout",
            "deadline exceeded",
            "request canceled",
            "unexpected eof",
            ": eof",
            "bad gateway",
            "service unavailable",
            "internal server error",
        ],
    ),
    (Cause::Absent, &["manifest unknown", "name unknown", "repository name not known", "not found"]),
    (Cause::BadReference, &["invalid reference format", "repository name must be"]),
];

/// What an engine means. The reference itself is left out of what is read: images may be called anything.
pub fn classify(status: Option<u16>, words: &str, reference: &str) -> Cause {
    let (name, _) = split(reference);
    let words = words.replace(reference, "").replace(name, "").to_ascii_lowercase();
    let found = WORDS.iter().find(|(_, words_of)| words_of.iter().any(|word| words.contains(word)));
    match (found, status) {
        (Some((cause, _)), _) => *cause,
        (None, Some(400)) => Cause::BadReference,
        (None, Some(401 | 403)) => Cause::Denied,
        (None, Some(404)) => Cause::Absent,
        (None, Some(429)) => Cause::Busy,
        (None, Some(502..=504)) => Cause::Away,
        (None, _) => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_engines() {
        for (status, words, cause) in [
            (404, "manifest for r:5/a:1 not found: manifest unknown: manifest unknown", Cause::Absent),
            (
                404,
                "pull access denied for r:5/a, repository does not exist or may require 'docker login': denied: \
                 requested access to the resource is denied",
                Cause::Denied,
            ),
            (500, "Head \"http://r:5/v2/a/manifests/1\": no basic auth credentials", Cause::Denied),
            (500, "unauthorized: authentication required", Cause::Denied),
            (500, "Get \"https://r:5/v2/\": dial tcp 127.0.0.1:5: connect: connection refused", Cause::Away),
            (500, "Get \"https://r:5/v2/\": dial tcp: lookup r on 127.0.0.53:53: no such host", Cause::Away),
            (
                500,
                "Get \"https://r:5/v2/\": net/http: request canceled while waiting for connection",
                Cause::Away,
            ),
            (500, "Get \"https://r:5/v2/\": x509: certificate signed by unknown authority", Cause::Untrusted),
            (500, "http: server gave HTTP response to HTTPS client", Cause::Untrusted),
            (500, "toomanyrequests: You have reached your pull rate limit.", Cause::Busy),
            (200, "failed to register layer: write /lib/x: no space left on device", Cause::NoSpace),
            (404, "no matching manifest for linux/amd64 in the manifest list entries", Cause::Platform),
            (404, "no match for platform in manifest: not found", Cause::Platform),
            (404, "failed to resolve reference \"r:5/a:1\": r:5/a:1: not found", Cause::Absent),
            (
                500,
                "failed to resolve reference \"r:5/a:1\": pull access denied, repository does not exist or may \
                 require authorization: server message: insufficient_scope: authorization failed",
                Cause::Denied,
            ),
            (
                500,
                "failed to do request: Head \"https://r:5/v2/a/manifests/1\": dial tcp: lookup r: no such host",
                Cause::Away,
            ),
            (400, "invalid reference format", Cause::BadReference),
            (500, "something new", Cause::Other),
            (403, "something new", Cause::Denied),
        ] {
            assert_eq!(classify(Some(status), words, "r:5/a:1"), cause, "{words}");
        }
    }

    #[test]
    fn an_image_may_be_called_as_an_error_is() {
        let reference = "r:5/unauthorized/x509:timeout";
        let words = format!("manifest for {reference} not found");
        assert_eq!(classify(Some(404), &words, reference), Cause::Absent);
    }
}
