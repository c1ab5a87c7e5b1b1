//! Values as they are written in flags, variables and `gateway.toml` alike.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What went wrong.
    Error,
    /// And what may.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And how.
    Debug,
    /// And everything.
    Trace,
}

impl LogLevel {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| "expected `error`, `warn`, `info`, `debug` or `trace`".to_owned())
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected `text` or `json`".to_owned()),
        }
    }
}

/// Who supervises the processes in a driver's sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervisor {
    /// The project's own.
    Builtin,
    /// The driver brings one.
    Driver,
    /// Nobody: the backend's word alone counts.
    None,
}

impl fmt::Display for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Builtin => "builtin",
            Self::Driver => "driver",
            Self::None => "none",
        })
    }
}

impl FromStr for Supervisor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "builtin" => Ok(Self::Builtin),
            "driver" => Ok(Self::Driver),
            "none" => Ok(Self::None),
            _ => Err("expected `builtin`, `driver` or `none`".to_owned()),
        }
    }
}

/// A text of a user's as messages show it: without characters that could drive a terminal, and not endless.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let mut out: String = text.chars().take(LONGEST).map(escaped).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// A port, by its number.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "expected a port number, 0 to 65535 (0: any free one)".to_owned())
}

/// An address to listen on. Beyond loopback only with TLS and authentication, which do not exist yet.
pub(crate) fn bind_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| "expected an IP address, such as `127.0.0.1` or `::1`, and no port".to_owned())?;
    if !address.to_canonical().is_loopback() {
        return Err(
            "not a loopback address; beyond loopback the gateway listens only with TLS and authentication"
                .to_owned(),
        );
    }
    Ok(address)
}

/// A duration: digits and a unit, `250ms`, `30s`, `5m`, `2h`. More than nothing, and at most a day.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration with its unit, such as `250ms`, `30s` or `5m`".to_owned();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| expected())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(expected()),
    };
    match millis {
        Some(millis @ 1..=86_400_000) => Ok(Duration::from_millis(millis)),
        _ => Err("expected a duration between `1ms` and `24h`".to_owned()),
    }
}

/// A path that means the same wherever the program was started.
pub(crate) fn absolute_path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("the path is empty".to_owned());
    }
    if text.contains('\0') {
        return Err("a path cannot hold a NUL".to_owned());
    }
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err("expected an absolute path; `~` and variables are not expanded".to_owned());
    }
    Ok(path.to_owned())
}

/// Where the database is: the path in `sqlite:PATH`.
pub(crate) fn sqlite_path(url: &str) -> Result<PathBuf, String> {
    // `sqlite:///abs` is how other programs write the same.
    let path = match url.split_once(':') {
        Some((scheme, path)) if scheme.eq_ignore_ascii_case("sqlite") => {
            Some(path.strip_prefix("//").unwrap_or(path))
        }
        _ => None,
    };
    match path {
        Some("") => Err("the path is empty".to_owned()),
        Some(path) if path.starts_with(":memory:") => {
            Err("a database in memory would forget every sandbox".to_owned())
        }
        Some(path) if path.contains(['\0', '?']) => Err("expected a plain path behind `sqlite:`".to_owned()),
        Some(path) => Ok(PathBuf::from(path)),
        None => Err("expected `sqlite:PATH`; there is no other kind of database".to_owned()),
    }
}

/// Where telemetry may go.
#[cfg(feature = "telemetry")]
pub(crate) fn telemetry_endpoint(text: &str) -> Result<http::Uri, String> {
    let expected = || "expected a URL such as `https://telemetry.example.com/v1/events`".to_owned();
    let uri: http::Uri = text.parse().map_err(|_| expected())?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err("a URL with a user name is not supported".to_owned())
        }
        Some(_) if known => Ok(uri),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_bounds() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "30 s",
            "0s",
            "25h",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_shown_of_a_text_is_harmless_and_short() {
        assert_eq!(shown("it's \"fine\" ü"), "it's \"fine\" ü");
        assert_eq!(shown("a\n\u{1b}[2J"), "a\\n\\u{1b}[2J");
        assert_eq!(shown(&"x".repeat(81)), format!("{}…", "x".repeat(80)));
    }

    #[test]
    fn only_loopback_is_listened_on() {
        for good in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(bind_address(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0", "::", "10.0.0.1", "localhost", "127.0.0.1:80", ""] {
            assert!(bind_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_database_is_an_sqlite_file() {
        assert_eq!(sqlite_path("sqlite:/a/b.db"), Ok("/a/b.db".into()));
        assert_eq!(sqlite_path("sqlite:///a/b.db"), Ok("/a/b.db".into()));
        assert_eq!(sqlite_path("sqlite:b.db"), Ok("b.db".into()));
        for bad in ["", "sqlite:", "sqlite://", "postgres://h/db", "/a/b.db", "sqlite:/a?mode=ro"] {
            assert!(sqlite_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_in_files_are_absolute() {
        assert!(absolute_path("/run/x.sock").is_ok());
        for bad in ["", "x.sock", "~/x.sock", "/a\0b"] {
            assert!(absolute_path(bad).is_err(), "{bad:?}");
        }
    }

    #[cfg(feature = "telemetry")]
    #[test]
    fn telemetry_goes_to_a_web_address() {
        assert!(telemetry_endpoint("http://127.0.0.1:1/x").is_ok());
        assert!(telemetry_endpoint("https://example.com").is_ok());
        for bad in ["", "example.com", "ftp://example.com/", "/x", "http://", "http://u:p@h/"] {
            assert!(telemetry_endpoint(bad).is_err(), "{bad}");
        }
    }
}
