//! What engines run and images are made for.

use std::fmt;

/// An operating system and an architecture, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Platform {
    /// `linux`; empty where it is not said.
    pub os: String,
    /// `amd64`; empty where it is not said.
    pub architecture: String,
}

impl Platform {
    /// Whether an engine's kernel runs this by itself. What is not known is not held against it.
    #[must_use]
    pub fn runs_on(&self, engine: &Self) -> bool {
        let same = |ours: &str, theirs: &str| ours.is_empty() || theirs.is_empty() || ours == theirs;
        let narrower = [("386", "amd64"), ("arm", "arm64")];
        let fits = narrower.contains(&(self.architecture.as_str(), engine.architecture.as_str()));
        same(&self.os, &engine.os) && (fits || same(&self.architecture, &engine.architecture))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_runs_where_its_instructions_do() {
        let platform =
            |os: &str, architecture: &str| Platform { os: os.into(), architecture: architecture.into() };
        for (image, engine, runs) in [
            (platform("linux", "amd64"), platform("linux", "amd64"), true),
            (platform("linux", "386"), platform("linux", "amd64"), true),
            (platform("linux", "arm64"), platform("linux", "amd64"), false),
            (platform("linux", "amd64"), platform("linux", "arm64"), false),
            (platform("windows", "amd64"), platform("linux", "amd64"), false),
            (platform("linux", ""), platform("linux", "amd64"), true),
            (platform("", ""), platform("", ""), true),
        ] {
            assert_eq!(image.runs_on(&engine), runs, "{image} on {engine}");
        }
    }
}
