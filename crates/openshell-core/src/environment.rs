//! The process's environment as a value, so that whatever reads it can be tested and nothing else reads it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use openshell_driver_api::ProbeEnv;

/// How long a probe may spend on one candidate. It asks them all at once, and has to stay below
/// [`crate::detect::PROBE_LIMIT`] as a whole: so it can still say which of them did not answer.
const CANDIDATE_LIMIT: Duration = Duration::from_millis(200);

/// Environment variables and the effective user.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    vars: BTreeMap<String, OsString>,
    uid: u32,
}

/// A variable whose value is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value of `{name}` is not UTF-8")]
pub struct NotUtf8 {
    /// The variable.
    pub name: String,
}

impl Environment {
    /// What this process was started with.
    #[must_use]
    pub fn from_process() -> Self {
        let vars =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
        Self { vars, uid: rustix::process::geteuid().as_raw() }
    }

    /// An environment made up by the caller.
    pub fn new<K, V>(vars: impl IntoIterator<Item = (K, V)>, uid: u32) -> Self
    where
        K: Into<String>,
        V: Into<OsString>,
    {
        Self { vars: vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect(), uid }
    }

    /// The effective user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// A variable that is set and not empty.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(name).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A variable as text; set but empty counts as unset.
    ///
    /// # Errors
    /// When the value is not UTF-8.
    pub fn text(&self, name: &str) -> Result<Option<&str>, NotUtf8> {
        self.raw(name)
            .map(|value| value.to_str().ok_or_else(|| NotUtf8 { name: name.to_owned() }))
            .transpose()
    }

    /// A variable as an absolute path; a relative one counts as unset, as the XDG base directory rules want it.
    #[must_use]
    pub fn absolute_path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// What a driver's probe may see of it.
    #[must_use]
    pub fn for_probes(&self) -> ProbeEnv {
        let vars = self
            .vars
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.to_str()?.to_owned())))
            .collect();
        ProbeEnv { vars, uid: self.uid, root: PathBuf::new(), timeout: CANDIDATE_LIMIT }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn an_empty_variable_is_an_unset_one() {
        let env = Environment::new([("A", ""), ("B", "x")], 7);
        assert_eq!(env.text("A"), Ok(None));
        assert_eq!(env.text("B"), Ok(Some("x")));
        assert_eq!(env.text("C"), Ok(None));
        assert_eq!(env.uid(), 7);
    }

    #[test]
    fn what_is_not_utf8_is_an_error_for_us_and_absent_for_probes() {
        let env = Environment::new([("A", OsString::from_vec(vec![0xff]))], 0);
        assert_eq!(env.text("A").unwrap_err().to_string(), "the value of `A` is not UTF-8");
        assert!(env.for_probes().vars.is_empty());
    }

    #[test]
    fn a_relative_base_directory_is_ignored() {
        let env = Environment::new([("A", "relative"), ("B", "/absolute")], 0);
        assert_eq!(env.absolute_path("A"), None);
        assert_eq!(env.absolute_path("B"), Some(PathBuf::from("/absolute")));
    }
}
