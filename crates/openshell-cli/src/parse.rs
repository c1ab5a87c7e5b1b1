//! Values of the command line: pairs, times, signals, ports, and the settings of drivers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Map, Value};

/// `NAME=VALUE`: the name not empty, the value anything.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        None => Err("no `=` in it; write NAME=VALUE".to_owned()),
        Some(("", _)) => Err("nothing before the `=`".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
    }
}

/// `30`, `1.5s`, `500ms`, `2m`, `1h`: a number and a unit, seconds without one; more than nothing.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit; write ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| "not a time; write 30, 1.5s, 500ms or 2m".to_owned())?;
    match Duration::try_from_secs_f64(number * seconds) {
        // A year: far beyond any use, and far within what a timer can count.
        Ok(time) if time.as_secs() > 31_536_000 => Err("longer than a year".to_owned()),
        Ok(time) if time.is_zero() => Err("has to be more than nothing".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

/// The signals that have a name here, by their numbers on Linux (signal(7), for x86 and ARM).
const SIGNALS: [(&str, i32); 20] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("WINCH", 28),
    ("IO", 29),
];

/// `TERM`, `SIGTERM` or `15`.
pub(crate) fn signal(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse() {
        // As many as Linux has, real-time ones included.
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err("no signal has that number".to_owned())
        };
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let found = SIGNALS.iter().find(|(name, _)| *name == bare).map(|(_, number)| *number);
    found.ok_or_else(|| "no such signal; write TERM, SIGTERM or 15".to_owned())
}

/// A port of this machine that becomes one of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forward {
    /// Where this program listens; port 0 is any.
    pub(crate) local: SocketAddr,
    /// The port inside the sandbox.
    pub(crate) remote: u16,
}

/// `8080`, `8080:80`, `127.0.0.1:8080:80`, `[::1]:8080:80`; `localhost` will do for an address.
pub(crate) fn forward(text: &str) -> Result<Forward, String> {
    let port = |text: &str| -> Result<u16, String> {
        text.parse().map_err(|_| format!("`{text}` is no port; write [ADDRESS:]LOCAL:REMOTE"))
    };
    let (front, remote) = text.rsplit_once(':').unwrap_or((text, text));
    let (address, local) = match front.rsplit_once(':') {
        None => (IpAddr::V4(Ipv4Addr::LOCALHOST), front),
        Some(("localhost", local)) => (IpAddr::V4(Ipv4Addr::LOCALHOST), local),
        Some((address, local)) => {
            let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
            let parsed = bare.parse();
            let parsed =
                parsed.map_err(|_| format!("`{address}` is no IP address; write 127.0.0.1 or [::1]"))?;
            (parsed, local)
        }
    };
    let (local, remote) = (port(local)?, port(remote)?);
    if remote == 0 {
        return Err("the sandbox's port cannot be 0".to_owned());
    }
    Ok(Forward { local: SocketAddr::new(address, local), remote })
}

/// `{"<driver>": {…}}`, or `@FILE` with that in it.
pub(crate) fn driver_config(text: &str) -> Result<Map<String, Value>, String> {
    let read;
    let text = match text.strip_prefix('@') {
        None => text,
        Some(path) => {
            read = std::fs::read_to_string(path).map_err(|error| format!("cannot read `{path}`: {error}"))?;
            &read
        }
    };
    let settings: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
    for (driver, value) in &settings {
        if !value.is_object() {
            return Err(format!("the settings of `{driver}` are no object; write {{\"{driver}\": {{…}}}}"));
        }
    }
    // What a protobuf `Struct` cannot hold is a mistake of the command line, so it is said here.
    openshell_proto::structs::from_json(&settings).map_err(|error| error.to_string())?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, milliseconds) in
            [("30", 30_000), ("1.5s", 1500), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "0", "-1", "1d", "1e9", "1.2.3", "nan", "99999999999999999999h", "9000h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pairs() {
        assert_eq!(pair("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("A="), Ok(("A".to_owned(), String::new())));
        assert!(pair("A").is_err() && pair("=b").is_err());
    }

    #[test]
    fn signals() {
        for (text, number) in [("TERM", 15), ("sigint", 2), ("SIGHUP", 1), ("9", 9), ("64", 64)] {
            assert_eq!(signal(text), Ok(number), "{text}");
        }
        for text in ["", "SIG", "NOPE", "0", "65", "-1"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports() {
        for (text, local, remote) in [
            ("8080", "127.0.0.1:8080", 8080),
            ("0:80", "127.0.0.1:0", 80),
            ("localhost:1:2", "127.0.0.1:1", 2),
            ("0.0.0.0:8080:80", "0.0.0.0:8080", 80),
            ("[::1]:8080:80", "[::1]:8080", 80),
        ] {
            let local = local.parse().expect("an address");
            assert_eq!(forward(text), Ok(Forward { local, remote }), "{text}");
        }
        for text in ["", "x", "1:", ":1", "0", "1:0", "65536:1", "host:1:2", "1:2:3:4x"] {
            assert!(forward(text).is_err(), "{text}");
        }
    }

    #[test]
    fn settings_of_drivers() {
        assert!(driver_config(r#"{"docker": {"network": "none"}}"#).is_ok());
        for (text, says) in [
            ("[]", "not a JSON object"),
            ("{\"docker\"", "not a JSON object"),
            (r#"{"docker": 1}"#, "the settings of `docker` are no object"),
            (r#"{"docker": {"n": 9007199254740993}}"#, "`docker.n` is `9007199254740993`"),
            ("@/absent/file", "cannot read `/absent/file`"),
        ] {
            let error = driver_config(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
