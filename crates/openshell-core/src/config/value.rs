//! Values as they are written in flags, variables and `gateway.toml` alike.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
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

/// What an identity may do; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Read,
    /// Look, make, use and remove sandboxes.
    Use,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Use => "use",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "use" => Ok(Self::Use),
            "admin" => Ok(Self::Admin),
            _ => Err("expected `read`, `use` or `admin`".to_owned()),
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

/// An address to listen on.
pub(crate) fn bind_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "expected an IP address, such as `127.0.0.1` or `::1`, and no port".to_owned())
}

/// An address to listen on, with its port.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an IP address and a port, such as `127.0.0.1:9464` or `[::1]:9464`".to_owned())
}

/// A switch, as variables have it.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    if is(["1", "true", "yes", "on"]) {
        return Ok(true);
    }
    if is(["0", "false", "no", "off"]) {
        return Ok(false);
    }
    Err("expected `true` or `false`".to_owned())
}

/// A SHA-256 as tools print it: 64 hexadecimal digits, with or without colons.
pub(crate) fn sha256(text: &str) -> Result<[u8; 32], String> {
    let expected = || "expected 64 hexadecimal digits, with or without colons".to_owned();
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()
        .ok_or_else(expected)?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    match digits.len() {
        64 => bytes.try_into().map_err(|_| expected()),
        _ => Err(expected()),
    }
}

/// A DNS name as certificates hold it (RFC 5280, section 4.2.1.6), in lower case. A wildcard names nobody.
pub(crate) fn dns_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if text.len() > 253 || !text.split('.').all(label) {
        return Err("expected a DNS name of the certificate, such as `ci.example.org`".to_owned());
    }
    Ok(text.to_ascii_lowercase())
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
    fn addresses_are_numbers() {
        for good in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0"] {
            assert!(bind_address(good).is_ok(), "{good}");
        }
        for bad in ["localhost", "127.0.0.1:80", ""] {
            assert!(bind_address(bad).is_err(), "{bad}");
        }
        for good in ["127.0.0.1:9464", "[::1]:0"] {
            assert!(socket_address(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1", "::1:9464x", "localhost:1", ":9464", ""] {
            assert!(socket_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_switch_is_on_or_off_and_nothing_else() {
        for (text, on) in [("1", true), ("TRUE", true), ("on", true), ("no", false), (" off ", false)] {
            assert_eq!(switch(text), Ok(on), "{text}");
        }
        for bad in ["", "2", "enabled"] {
            assert!(switch(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_as_tools_print_it() {
        let plain = "00ff".repeat(16);
        let colons = ["00", "FF"].repeat(16).join(":");
        let expected: [u8; 32] = std::array::from_fn(|at| if at % 2 == 0 { 0 } else { 0xff });
        assert_eq!(sha256(&plain), Ok(expected));
        assert_eq!(sha256(&colons), Ok(expected));
        for bad in ["", "00", &plain[1..], &format!("{plain}0"), &plain.replace('f', "g")] {
            assert!(sha256(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_of_a_certificate_is_one_host() {
        assert_eq!(dns_name("CI.example.org"), Ok("ci.example.org".to_owned()));
        assert_eq!(dns_name("laptop"), Ok("laptop".to_owned()));
        for bad in ["", "*.example.org", "a..b", "a b", ".a", "ü.example", &"a".repeat(64), &"a.".repeat(130)]
        {
            assert!(dns_name(bad).is_err(), "{bad:?}");
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
