//! Mends a fault of services of 4.x: the `default_ulimits` of `containers.conf` arrive with soft and hard the wrong way round
//! when a container is made over the API, and with a soft limit above the hard one nothing starts.
//!
//! A request that names limits of its own gets those and, for the rest, not the operator's but the service's own, which it
//! may not be allowed to set. So what the operator wants is read off the first container that is made, once.

use std::sync::OnceLock;

use super::models::Ulimit;
use super::spec::{Rlimit, Spec};

/// The limits that the operator wants for every container, once they are known.
#[derive(Debug, Default)]
pub(super) struct Ulimits(OnceLock<Known>);

#[derive(Debug)]
struct Known {
    limits: Vec<Rlimit>,
    /// Whether the service gets them wrong, so that all have to be named.
    swapped: bool,
}

impl Ulimits {
    /// Whether a container has been looked at.
    pub(super) fn known(&self) -> bool {
        self.0.get().is_some()
    }

    /// Takes in the limits of a container that was made without any of its own. Whether the service got them wrong.
    pub(super) fn learn(&self, found: &[Ulimit]) -> bool {
        let swapped =
            found.iter().any(|limit| limit.hard >= 0 && (limit.soft < 0 || limit.soft > limit.hard));
        // Two first creates at once learn the same.
        let _ = self
            .0
            .set(Known { limits: found.iter().filter_map(|limit| mend(limit, swapped)).collect(), swapped });
        swapped
    }

    /// A container's specification with the limits that it has to name besides its own.
    pub(super) fn fill(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        let named = !spec.rlimits.is_empty();
        let Some(known) = self.0.get().filter(|known| known.swapped || named) else { return spec };
        for limit in &known.limits {
            if spec.rlimits.iter().all(|own| own.kind != limit.kind) {
                spec.rlimits.push(limit.clone());
            }
        }
        spec
    }
}

/// A limit as the operator has written it.
fn mend(found: &Ulimit, swapped: bool) -> Option<Rlimit> {
    let kind = found.name.strip_prefix("RLIMIT_")?.to_ascii_lowercase();
    // No limit is the largest number.
    let number = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    let (soft, hard) = (number(found.soft), number(found.hard));
    let (soft, hard) = if swapped { (hard, soft) } else { (soft, hard) };
    Some(Rlimit { kind, soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, soft: i64, hard: i64) -> Ulimit {
        Ulimit { name: name.into(), soft, hard }
    }

    fn limit(kind: &str, soft: u64, hard: u64) -> Rlimit {
        Rlimit { kind: kind.into(), soft, hard }
    }

    #[test]
    fn swapped_limits_are_mended_and_named_ever_after() {
        let ulimits = Ulimits::default();
        let spec = Spec { rlimits: vec![limit("nofile", 64, 64)], ..Spec::default() };
        assert!(!ulimits.known());
        assert_eq!(ulimits.fill(&spec), spec);
        assert!(ulimits.learn(&[
            found("RLIMIT_NOFILE", 4096, 1024),
            found("RLIMIT_NPROC", 4096, 4096),
            found("RLIMIT_CORE", -1, 0),
        ]));
        assert!(ulimits.known());
        let expected = vec![limit("nofile", 64, 64), limit("nproc", 4096, 4096), limit("core", 0, u64::MAX)];
        assert_eq!(ulimits.fill(&spec).rlimits, expected, "one's own limits count");
        assert_eq!(ulimits.fill(&Spec::default()).rlimits[0], limit("nofile", 1024, 4096));
    }

    #[test]
    fn limits_in_order_are_left_to_the_service_unless_one_is_named() {
        let ulimits = Ulimits::default();
        assert!(!ulimits.learn(&[found("RLIMIT_NOFILE", 1024, 4096), found("RLIMIT_NPROC", 9, -1)]));
        assert!(ulimits.known());
        assert_eq!(ulimits.fill(&Spec::default()), Spec::default());
        let spec = Spec { rlimits: vec![limit("nofile", 64, 64)], ..Spec::default() };
        assert_eq!(ulimits.fill(&spec).rlimits, [limit("nofile", 64, 64), limit("nproc", 9, u64::MAX)]);
    }
}
