//! Values of the command line: pairs, times, and the settings of drivers.

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
