//! Images: references that are safe to send, and the immutable id behind one, pulled when it has to be.

use std::time::Duration;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use openshell_driver_api::{DriverError, ErrorKind};

use crate::config::PullPolicy;
use crate::engine::Engine;
use crate::error;

/// How long a pull may go without a sign of progress: a registry that hangs must not hold a sandbox for ever.
const STALL: Duration = Duration::from_secs(300);

/// An image on the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// `sha256:…`: what a tag points to may change between two calls, this does not.
    pub(crate) id: String,
    /// The user that it wants to run as; empty for root.
    pub(crate) user: String,
    /// Whether it brings a command or an entrypoint.
    pub(crate) has_command: bool,
}

/// A step of a pull, for people.
pub(crate) enum Step {
    /// It begins.
    Pulling,
    /// It is done.
    Pulled,
    /// It failed.
    Failed(String),
}

/// Whether a text may be an image's reference. It becomes part of a request's path, so no letter gets through that
/// could mean something there.
pub(crate) fn check(text: &str) -> Result<(), String> {
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
    let (name, _) = split(text);
    let repository = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => name,
    };
    if repository.chars().any(|c| c.is_ascii_uppercase()) {
        return Err("has capital letters in its repository".to_owned());
    }
    Ok(())
}

/// Whether a reference is an image's id, which no registry knows.
fn is_id(reference: &str) -> bool {
    reference.strip_prefix("sha256:").is_some_and(|digits| {
        (12..=64).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// A reference as name and tag or digest. Without one it is `latest`: the engine would pull every tag there is.
fn split(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name, digest);
    }
    // A colon before the last slash belongs to a registry's port.
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

/// Finds the image behind a reference, pulls it as the policy says, and reports the steps of a pull.
///
/// # Errors
/// `FailedPrecondition` when it cannot be had.
pub(crate) async fn resolve(
    engine: &Engine,
    reference: &str,
    policy: PullPolicy,
    report: impl Fn(Step),
) -> Result<Image, DriverError> {
    if (policy != PullPolicy::Always || is_id(reference))
        && let Some(image) = inspect(engine, reference).await?
    {
        return Ok(image);
    }
    if policy == PullPolicy::Never {
        let message = format!("the engine has no image `{reference}`, and `pull_policy` is `never`");
        return Err(DriverError::new(ErrorKind::FailedPrecondition, "find image", message));
    }
    if is_id(reference) {
        let message =
            format!("the engine has no image `{reference}`, and an image cannot be pulled by its id");
        return Err(DriverError::new(ErrorKind::FailedPrecondition, "find image", message));
    }
    report(Step::Pulling);
    let pulled = pull(engine, reference).await;
    if let Err(error) = &pulled {
        report(Step::Failed(error.message().to_owned()));
    }
    pulled?;
    report(Step::Pulled);
    inspect(engine, reference).await?.ok_or_else(|| {
        let message = format!("the engine pulled `{reference}` and does not have it");
        DriverError::new(ErrorKind::FailedPrecondition, "pull image", message)
    })
}

async fn inspect(engine: &Engine, reference: &str) -> Result<Option<Image>, DriverError> {
    let image = match engine.docker.inspect_image(reference).await {
        Ok(image) => image,
        Err(error) if error::status(&error) == Some(404) => return Ok(None),
        Err(error) => return Err(error::engine("inspect image", error)),
    };
    let Some(id) = image.id else {
        let message = format!("the engine gives no id for `{reference}`");
        return Err(DriverError::new(ErrorKind::Internal, "inspect image", message));
    };
    let config = image.config.unwrap_or_default();
    let some = |words: &Option<Vec<String>>| words.as_ref().is_some_and(|words| !words.is_empty());
    let has_command = some(&config.cmd) || some(&config.entrypoint);
    Ok(Some(Image { id, user: config.user.unwrap_or_default(), has_command }))
}

async fn pull(engine: &Engine, reference: &str) -> Result<(), DriverError> {
    let (name, tag) = split(reference);
    let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
    let mut progress = engine.docker.create_image(Some(options), None, None);
    loop {
        let Ok(step) = tokio::time::timeout(STALL, progress.next()).await else {
            let message = format!("cannot pull `{reference}`: nothing came for {} seconds", STALL.as_secs());
            return Err(DriverError::new(ErrorKind::DeadlineExceeded, "pull image", message));
        };
        let Some(step) = step else { return Ok(()) };
        step.map_err(|error| {
            let error = error::engine("pull image", error);
            // Not found, not allowed, or no way to the registry: as a request, all the same to whoever asked.
            let kind = if error.kind().is_retryable() { error.kind() } else { ErrorKind::FailedPrecondition };
            DriverError::new(kind, "pull image", format!("cannot pull `{reference}`: {}", error.message()))
        })?;
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
            "", "a b", "../a", "a/../b", "a//b", "/a", "a/", "a:", "a@", "a?x=1", "a#b", "a%2fb", "A",
            "a/B:1", "-a", "a\n", "ü",
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
}
