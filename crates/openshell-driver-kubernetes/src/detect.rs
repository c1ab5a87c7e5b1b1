//! Looks whether this is a pod of a cluster. A kubeconfig is no sign: many a workstation has one for a cluster that its
//! user would not want sandboxes in.

use openshell_driver_api::{Detection, ProbeEnv, Tried};

use crate::connect::HOST;

/// Reads the variable that every pod has.
pub(crate) fn detect(env: &ProbeEnv) -> Detection {
    let tried = |outcome: String| vec![Tried { candidate: HOST.to_owned(), outcome }];
    match env.var(HOST) {
        None => Detection { found: None, tried: tried("unset".to_owned()) },
        Some(host) => Detection {
            found: Some(format!("this is a pod of a Kubernetes cluster (`{HOST}` is `{host}`)")),
            tried: tried(format!("set, `{host}`")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_and_no_pod() {
        let env = |value: &str| ProbeEnv {
            vars: [(HOST.to_owned(), value.to_owned())].into(),
            ..ProbeEnv::default()
        };
        let found = detect(&env("10.0.0.1"));
        assert!(found.found.is_some_and(|why| why.contains("`10.0.0.1`")));
        for env in [env(""), ProbeEnv::default()] {
            let nothing = detect(&env);
            assert_eq!((nothing.found, nothing.tried[0].outcome.as_str()), (None, "unset"));
        }
    }
}
