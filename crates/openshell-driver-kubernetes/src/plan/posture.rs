//! The one place where the posture is written down: what a pod and its container may do, field by field. Pure.

use k8s_openapi::api::core::v1::{
    Capabilities, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
};
use openshell_driver_common::container::supervised;

use crate::asked::Asked;
use crate::config::{Config, USER};

/// Who the main process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) user: i64,
    pub(super) group: i64,
    pub(super) fs_group: i64,
}

impl Owner {
    /// The operator's numbers are everybody's; where there are none, a request may name its own.
    pub(super) fn of(config: &Config, asked: &Asked) -> Self {
        let user = config.user.or(asked.user).unwrap_or(USER);
        let group = config.group.or(asked.group).unwrap_or(user);
        // Volumes are given to a group to be written by it, and root's would be no restriction on anything.
        let fs_group = config.fs_group.unwrap_or(if group == 0 { USER } else { group });
        Self { user, group, fs_group }
    }
}

/// What every pod is held to before anything of its own is added. What is not said here, a cluster says no to by
/// itself: the host's namespaces, ports and paths.
pub(super) fn pod(config: &Config, owner: Owner, supervised: bool) -> PodSpec {
    PodSpec {
        // An agent is no client of the cluster.
        automount_service_account_token: Some(false),
        service_account_name: config.service_account.clone(),
        // Variables with the addresses of everybody's services; the API server's own are in every pod.
        enable_service_links: Some(false),
        // Who runs again is the gateway's to say.
        restart_policy: Some("Never".to_owned()),
        // The pod's own first process reaps orphans, and the main process is one that signals end. A supervisor does both
        // itself, and is the first process where nobody else is.
        share_process_namespace: (!supervised).then_some(true),
        // Left out unless wanted: a cluster from before user namespaces knows no such field.
        host_users: config.user_namespaces.then_some(false),
        termination_grace_period_seconds: Some(config.stop_timeout),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(owner.user != 0),
            run_as_user: Some(owner.user),
            run_as_group: Some(owner.group),
            fs_group: Some(owner.fs_group),
            // A workspace of a million files would be walked at each start.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(seccomp()),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// What every container is held to.
pub(super) fn container(config: &Config) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        privileged: Some(false),
        read_only_root_filesystem: Some(config.read_only_root),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: (!config.cap_add.is_empty()).then(|| config.cap_add.clone()),
        }),
        ..SecurityContext::default()
    }
}

/// What a supervisor is held to: root, and of root's powers the few that it takes to become somebody else. Whatever it starts
/// is the pod's own user, and has what [`container`] leaves and nothing more.
pub(super) fn supervisor(config: &Config) -> SecurityContext {
    root(container(config), supervised::capabilities(&config.cap_add))
}

/// What the container that gives the workspace away is held to: root, and of root's powers that one alone.
pub(super) fn giver() -> SecurityContext {
    root(step(), vec!["CHOWN".to_owned()])
}

/// What the container that brings the supervisor is held to: root, and none of root's powers.
pub(super) fn installer() -> SecurityContext {
    root(step(), Vec::new())
}

/// A step before the main process, which writes to volumes only.
fn step() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// The same as root, whoever the pod's user is, with these capabilities and no others.
fn root(held: SecurityContext, capabilities: Vec<String>) -> SecurityContext {
    SecurityContext {
        run_as_non_root: Some(false),
        run_as_user: Some(0),
        run_as_group: Some(0),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: (!capabilities.is_empty()).then_some(capabilities),
        }),
        ..held
    }
}

fn seccomp() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }
}
