//! Whom, where and with which environment processes of the sandbox are started.

use openshell_guest::second::{Plan, Stdin};
use openshell_guest::start::PATH;
use openshell_guest::user::User;

/// What the supervisor is told and processes are not: credentials, and what leads to them.
const OURS: [&str; 4] = [
    "OPENSHELL_ENDPOINT",
    "OPENSHELL_SANDBOX_TOKEN_FILE",
    "OPENSHELL_CA_FILE",
    "OPENSHELL_MAIN_PROCESS_SPEC",
];

/// What all processes of the sandbox have in common.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Whom they run as.
    pub(crate) user: User,
    /// Where they start: an absolute path.
    pub(crate) workdir: String,
    /// The main process's environment.
    pub(crate) environment: Vec<(String, String)>,
    /// What root keeps of its capabilities, as bits.
    pub(crate) capabilities: u64,
}

impl Identity {
    /// Out of the supervisor's own environment, whose values may be no text: such a variable cannot come from a
    /// request.
    ///
    /// An engine sets `HOME` by the user that it starts, which is root for the supervisor, so root's home is not
    /// believed for anybody else.
    pub fn new(
        user: User,
        workdir: String,
        capabilities: u64,
        environment: impl Iterator<Item = (String, String)>,
        home_of_root: &str,
    ) -> Self {
        let roots = |name: &str, value: &str| name == "HOME" && user.uid != 0 && value == home_of_root;
        let is_ours = |name: &str| OURS.contains(&name);
        let mut environment: Vec<_> =
            environment.filter(|(name, value)| !is_ours(name) && !roots(name, value)).collect();
        for (name, value) in [("PATH", PATH), ("HOME", &user.home)] {
            if !environment.iter().any(|(known, _)| known == name) {
                environment.push((name.to_owned(), value.to_owned()));
            }
        }
        Self { user, workdir, environment, capabilities }
    }

    /// How to start something: `environment` goes on top of the sandbox's own, and an empty `workdir` is the
    /// sandbox's, below which one without a leading slash is.
    pub(crate) fn plan(
        &self,
        argv: Vec<String>,
        workdir: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        tty: bool,
        stdin: Stdin,
    ) -> Plan {
        let mut env = self.environment.clone();
        if tty && !env.iter().any(|(name, _)| name == "TERM") {
            env.push(("TERM".to_owned(), "xterm".to_owned()));
        }
        env.extend(environment);
        Plan {
            argv,
            env,
            uid: self.user.uid,
            gid: self.user.gid,
            groups: self.user.groups.clone(),
            working_dir: self.path(workdir),
            tty,
            stdin,
            capabilities: self.capabilities,
            limits: false,
        }
    }

    /// A path as seen from where the main process was started.
    fn path(&self, path: &str) -> String {
        match path {
            "" => self.workdir.clone(),
            absolute if absolute.starts_with('/') => absolute.to_owned(),
            relative => format!("{}/{relative}", self.workdir.trim_end_matches('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(uid: u32, env: &[(&str, &str)]) -> Identity {
        let user = User { uid, gid: 1, groups: vec![2], home: "/home/u".to_owned() };
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Identity::new(user, "/srv".to_owned(), 0, env, "/root")
    }

    fn value<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
        env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn what_is_ours_stays_ours_and_what_is_missing_is_added() {
        let given = [
            ("OPENSHELL_ENDPOINT", "unix:///x"),
            ("OPENSHELL_SANDBOX_TOKEN_FILE", "/t"),
            ("OPENSHELL_CA_FILE", "/c"),
            ("OPENSHELL_MAIN_PROCESS_SPEC", "{}"),
            ("OPENSHELL_SANDBOX", "box"),
            ("HOME", "/root"),
            ("A", "1"),
        ];
        let env = identity(1000, &given).environment;
        let names: Vec<_> = env.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["OPENSHELL_SANDBOX", "A", "PATH", "HOME"]);
        assert_eq!(value(&env, "HOME"), Some("/home/u"));
        assert_eq!(value(&identity(0, &given).environment, "HOME"), Some("/root"));
        assert_eq!(value(&identity(1000, &[("HOME", "/h"), ("PATH", "/b")]).environment, "HOME"), Some("/h"));
    }

    #[test]
    fn a_request_comes_on_top_and_paths_are_of_the_sandbox() {
        let identity = identity(1000, &[("A", "1")]);
        let plan = |workdir: &str, tty| {
            let on_top = [("A".to_owned(), "2".to_owned())];
            identity.plan(vec!["x".to_owned()], workdir, on_top, tty, Stdin::Empty)
        };
        assert_eq!(value(&plan("", false).env, "A"), Some("2"));
        assert_eq!(value(&plan("", false).env, "TERM"), None);
        assert_eq!(value(&plan("", true).env, "TERM"), Some("xterm"));
        for (asked, meant) in [("", "/srv"), ("/x", "/x"), ("a/b", "/srv/a/b")] {
            assert_eq!(plan(asked, false).working_dir, meant);
        }
    }
}
