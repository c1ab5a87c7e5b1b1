//! Why a pull failed, in the words of this engine.

use bollard::errors::Error;
use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::pull::{Fault, Program, Refusal};

use crate::error;

const PROGRAM: Program = Program { name: "docker", certificates: "/etc/docker/certs.d" };

/// The engine's answer to a pull of `reference` from `registry`. `access` says which credentials were sent and where they
/// came from.
pub(super) fn of(reference: &str, registry: &str, access: &str, problem: Error) -> Fault {
    let status = error::status(&problem);
    let problem = error::engine("pull image", problem);
    let away = matches!(problem.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded);
    let engine = (away && status.is_none()).then(|| problem.kind());
    Fault::of(PROGRAM, reference, registry, access, Refusal { status, words: problem.message(), engine })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_who_was_asked_and_with_what() {
        let error = Error::DockerResponseServerError {
            status_code: 500,
            message: "no basic auth credentials".into(),
        };
        let access = "`/root/.docker/config.json` has no entry for it";
        let error = of("r:5/a:1", "r:5", access, error).error();
        assert_eq!((error.kind(), error.reason()), (ErrorKind::PermissionDenied, Some("ImagePullFailed")));
        assert_eq!(
            error.message(),
            "cannot pull `r:5/a:1`: `r:5` gives no access, or there is no such image; \
             `/root/.docker/config.json` has no entry for it; the engine says: no basic auth credentials"
        );
        assert!(error.hint().is_some_and(|hint| hint.ends_with("docker login r:5")));
    }
}
