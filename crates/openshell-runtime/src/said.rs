//! What a driver says, cut to what is kept of it: a driver that lies, or is not well, fills neither the store nor the
//! answers about other sandboxes, and says no secret that it was given.
//!
//! The bounds are far above what backends have to say. What is longer is cut at its end, and marked.

use openshell_driver_api::{
    Capabilities, Condition, DriverError, ListenerRequirement, ObservedSandbox, PlatformEvent, SandboxStatus,
    Secret, WatchEvent,
};

/// The most bytes of a name, a reason, a version.
const WORD: usize = 256;
/// The most bytes of a sentence for people.
const SENTENCE: usize = 4096;
/// The most conditions of a sandbox, and the most entries of an event's metadata.
const ENTRIES: usize = 32;
/// Stands where something was cut off.
const CUT: char = '…';

/// Cuts a text to at most so many bytes, its mark among them.
fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes - CUT.len_utf8()));
        text.push(CUT);
    }
    text
}

/// An error with a message that can be kept and sent.
pub(crate) fn error(error: DriverError) -> DriverError {
    match error.message().len() > SENTENCE {
        true => {
            let message = cut(error.message().to_owned(), SENTENCE);
            error.with_message(message)
        }
        false => error,
    }
}

/// An error without the secret that the driver was given with the request.
pub(crate) fn without(secret: &Secret, error: DriverError) -> DriverError {
    if secret.is_empty() || !error.message().contains(secret.expose()) {
        return error;
    }
    let message = error.message().replace(secret.expose(), "(redacted)");
    // Its cause may say it again.
    error.with_message(message).without_source()
}

/// Who a driver says that it is.
pub(crate) fn capabilities(says: Capabilities) -> Capabilities {
    let Capabilities { driver_name, driver_version, default_image, gateway_manages_lifecycle } = says;
    Capabilities {
        driver_name: cut(driver_name, WORD),
        driver_version: cut(driver_version, WORD),
        default_image: cut(default_image, SENTENCE),
        gateway_manages_lifecycle,
    }
}

/// What it reports of a sandbox. Of name, namespace and workspace nothing is kept anyway.
pub(crate) fn observed(observed: ObservedSandbox) -> ObservedSandbox {
    ObservedSandbox { status: status(observed.status), ..observed }
}

/// What comes from its watch.
pub(crate) fn event(event: WatchEvent) -> WatchEvent {
    match event {
        WatchEvent::Sandbox(sandbox) => WatchEvent::Sandbox(observed(sandbox)),
        WatchEvent::Platform { id, event } => WatchEvent::Platform { id, event: platform(event) },
        WatchEvent::Deleted(id) => WatchEvent::Deleted(id),
    }
}

/// What it would have the gateway listen on, in words for the log.
pub(crate) fn listener(wanted: &ListenerRequirement) -> String {
    let (what, reason) = match wanted {
        ListenerRequirement::Exact { reason, address } => (cut(address.clone(), WORD), reason),
        ListenerRequirement::DefaultRoute { reason } => ("the default route's interface".to_owned(), reason),
        ListenerRequirement::Loopback { reason } => ("loopback".to_owned(), reason),
    };
    format!("{what}: {}", cut(reason.clone(), WORD))
}

fn status(status: SandboxStatus) -> SandboxStatus {
    let SandboxStatus { sandbox_name, instance_id, agent_fd, sandbox_fd, conditions, deleting } = status;
    SandboxStatus {
        sandbox_name: cut(sandbox_name, WORD),
        instance_id: cut(instance_id, WORD),
        agent_fd: cut(agent_fd, WORD),
        sandbox_fd: cut(sandbox_fd, WORD),
        conditions: conditions.into_iter().take(ENTRIES).map(condition).collect(),
        deleting,
    }
}

fn condition(condition: Condition) -> Condition {
    let Condition { kind, status, reason, message, last_transition_time } = condition;
    Condition {
        kind: cut(kind, WORD),
        status,
        reason: cut(reason, WORD),
        message: cut(message, SENTENCE),
        last_transition_time: cut(last_transition_time, WORD),
    }
}

fn platform(event: PlatformEvent) -> PlatformEvent {
    let PlatformEvent { timestamp_ms, source, kind, reason, message, metadata } = event;
    let metadata = metadata.into_iter().take(ENTRIES);
    PlatformEvent {
        timestamp_ms,
        source: cut(source, WORD),
        kind: cut(kind, WORD),
        reason: cut(reason, WORD),
        message: cut(message, SENTENCE),
        metadata: metadata.map(|(key, value)| (cut(key, WORD), cut(value, SENTENCE))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use openshell_driver_api::{ErrorKind, SandboxId, conditions};

    use super::*;

    #[test]
    fn a_text_is_cut_between_its_characters_and_says_so() {
        for (text, bytes, expected) in
            [("short", 5, "short"), ("longer", 5, "lo…"), ("äääää", 6, "ä…"), ("äääää", 7, "ää…")]
        {
            assert_eq!(cut(text.to_owned(), bytes), expected);
        }
    }

    #[test]
    fn a_giant_report_is_kept_small_and_stays_what_it_says() {
        let giant = || "x".repeat(1024 * 1024);
        let mut first = conditions::not_ready("OOMKilled", giant());
        first.last_transition_time = giant();
        let reported = SandboxStatus {
            sandbox_name: giant(),
            conditions: std::iter::repeat_n(first, 1000).collect(),
            ..SandboxStatus::default()
        };
        let id = SandboxId::new("a").unwrap();
        let (name, namespace, workspace) = (String::new(), String::new(), String::new());
        let sandbox = ObservedSandbox { id, name, namespace, workspace, status: reported };
        let WatchEvent::Sandbox(kept) = event(WatchEvent::Sandbox(sandbox)) else { panic!("another event") };
        assert_eq!((kept.id.as_str(), kept.status.conditions.len()), ("a", ENTRIES));
        assert_eq!(kept.status.conditions[0].reason, "OOMKilled");
        assert_eq!(kept.status.conditions[0].message.len(), SENTENCE);
        assert_eq!(kept.status.sandbox_name.len(), WORD);
    }

    #[test]
    fn a_secret_is_taken_out_of_an_error_and_of_its_causes() {
        let secret = Secret::new("s3cret");
        let said = DriverError::new(ErrorKind::Internal, "create sandbox", "`s3cret` is refused")
            .with_source(std::io::Error::other("s3cret"));
        let told = without(&secret, said);
        assert_eq!((told.message(), told.kind()), ("`(redacted)` is refused", ErrorKind::Internal));
        assert!(told.source().is_none());
        let said = DriverError::new(ErrorKind::Internal, "create sandbox", "no").with_source(std::fmt::Error);
        assert!(without(&secret, said).source().is_some(), "what says no secret is left as it is");
    }
}
