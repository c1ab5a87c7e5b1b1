//! Kubernetes quantities (`500m`, `2`, `1.5Gi`, `1k`, `1e3`): the one parser that every driver uses.
//!
//! Source of the grammar and of the rounding: "Quantity" in the Kubernetes API reference. Two points are stricter
//! here: a negative quantity is refused, since there is nothing in a sandbox that it could mean, and so is one beyond
//! 2^63-1, which Kubernetes would cap in silence.

use std::str::FromStr;

use crate::{DriverError, Resources};

/// The largest value of a quantity, as in Kubernetes.
const MAX_VALUE: u128 = i64::MAX as u128;
const NANOS_PER_UNIT: u128 = 1_000_000_000;
const NANO_DIGITS: i64 = 9;

/// An amount that is not negative, exact to a billionth; anything finer was rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity {
    nanos: u128,
}

impl Quantity {
    /// Billionths of a unit: for CPU, nanocores.
    #[must_use]
    pub fn nanos(self) -> u128 {
        self.nanos
    }

    /// Thousandths of a unit, rounded up: for CPU, millicores.
    #[must_use]
    pub fn millis(self) -> u64 {
        saturate(self.nanos.div_ceil(1_000_000))
    }

    /// Whole units, rounded up: for memory, bytes.
    #[must_use]
    pub fn units(self) -> u64 {
        saturate(self.nanos.div_ceil(NANOS_PER_UNIT))
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }
}

/// `MAX_VALUE` keeps whole units inside of 64 bits; thousandths of the largest quantities leave them.
fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A text that is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a quantity: {problem}")]
pub struct QuantityError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| QuantityError { text: text.to_owned(), problem })
    }
}

const TOO_LARGE: &str = "it is larger than 2^63-1";

fn parse(text: &str) -> Result<Quantity, &'static str> {
    let unsigned = match text.as_bytes().first() {
        None => return Err("it is empty"),
        Some(b'-') => return Err("it is negative"),
        Some(b'+') => &text[1..],
        Some(_) => text,
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') {
        return Err("it has more than one decimal point");
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err("it does not begin with a number");
    }
    let fraction = fraction.trim_end_matches('0');
    let mut digits: u128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let next = digits.checked_mul(10).and_then(|shifted| shifted.checked_add(u128::from(digit - b'0')));
        digits = next.ok_or("it has more digits than can be told apart")?;
    }
    let Scale { tens, twos } = scale(suffix)?;
    let fraction_digits = i64::try_from(fraction.len()).map_err(|_| TOO_LARGE)?;
    let nanos = shift(digits, twos, tens - fraction_digits + NANO_DIGITS)?;
    if nanos > MAX_VALUE * NANOS_PER_UNIT {
        return Err(TOO_LARGE);
    }
    Ok(Quantity { nanos })
}

/// What a suffix multiplies by: `10^tens * 2^twos`.
struct Scale {
    tens: i64,
    twos: u32,
}

fn scale(suffix: &str) -> Result<Scale, &'static str> {
    let decimal = |tens| Ok(Scale { tens, twos: 0 });
    let binary = |twos| Ok(Scale { tens: 0, twos });
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        "K" => Err("there is no suffix `K`; `k` is 1000 and `Ki` is 1024"),
        exponent if exponent.starts_with(['e', 'E']) => decimal(parse_exponent(&exponent[1..])?),
        _ => Err("its suffix is none of n u m k M G T P E Ki Mi Gi Ti Pi Ei"),
    }
}

fn parse_exponent(text: &str) -> Result<i64, &'static str> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("its exponent is not a whole number");
    }
    // Beyond four digits an exponent can only mean zero or too much, which `shift` tells apart.
    let magnitude = if digits.trim_start_matches('0').len() > 4 { Ok(9999) } else { digits.parse::<i64>() };
    let magnitude = magnitude.map_err(|_| "its exponent is not a whole number")?;
    Ok(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// `digits * 2^twos * 10^tens`, rounded up.
fn shift(digits: u128, twos: u32, tens: i64) -> Result<u128, &'static str> {
    if digits == 0 {
        return Ok(0);
    }
    let scaled = digits.checked_mul(1_u128 << twos).ok_or(TOO_LARGE)?;
    let power = u32::try_from(tens.unsigned_abs()).ok().and_then(|exponent| 10_u128.checked_pow(exponent));
    match (tens >= 0, power) {
        (true, Some(power)) => scaled.checked_mul(power).ok_or(TOO_LARGE),
        (true, None) => Err(TOO_LARGE),
        (false, Some(power)) => Ok(scaled.div_ceil(power)),
        (false, None) => Ok(1),
    }
}

/// [`Resources`] that have been read; `None` is unset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParsedResources {
    /// What to reserve, in cores.
    pub cpu_request: Option<Quantity>,
    /// What not to exceed, in cores; never zero.
    pub cpu_limit: Option<Quantity>,
    /// What to reserve, in bytes.
    pub memory_request: Option<Quantity>,
    /// What not to exceed, in bytes; never zero.
    pub memory_limit: Option<Quantity>,
}

impl ParsedResources {
    /// Reads all four and says everything that is wrong with them at once.
    ///
    /// # Errors
    /// `InvalidArgument` with each field's name and text: junk, a limit of zero (which some backends take for "no
    /// limit"), a request above its limit.
    pub fn read(resources: &Resources) -> Result<Self, DriverError> {
        let mut faults = Vec::new();
        let mut read = |field: &str, text: &str| -> Option<Quantity> {
            if text.is_empty() {
                return None;
            }
            match text.parse::<Quantity>() {
                Ok(zero) if zero.is_zero() && field.ends_with("_limit") => {
                    faults.push(format!("{field}: `{text}` is a limit of zero"));
                    None
                }
                Ok(quantity) => Some(quantity),
                Err(error) => {
                    faults.push(format!("{field}: {error}"));
                    None
                }
            }
        };
        let parsed = Self {
            cpu_request: read("cpu_request", &resources.cpu_request),
            cpu_limit: read("cpu_limit", &resources.cpu_limit),
            memory_request: read("memory_request", &resources.memory_request),
            memory_limit: read("memory_limit", &resources.memory_limit),
        };
        let mut compare =
            |what: &str, request: Option<Quantity>, limit: Option<Quantity>, texts: (&str, &str)| {
                if let (Some(request), Some(limit)) = (request, limit)
                    && request > limit
                {
                    faults.push(format!("{what}_request: `{}` is above the limit `{}`", texts.0, texts.1));
                }
            };
        compare("cpu", parsed.cpu_request, parsed.cpu_limit, (&resources.cpu_request, &resources.cpu_limit));
        compare(
            "memory",
            parsed.memory_request,
            parsed.memory_limit,
            (&resources.memory_request, &resources.memory_limit),
        );
        if faults.is_empty() {
            Ok(parsed)
        } else {
            Err(DriverError::invalid("read resources", faults.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn nanos(text: &str) -> u128 {
        text.parse::<Quantity>().expect(text).nanos()
    }

    #[test]
    fn every_suffix() {
        let unit = NANOS_PER_UNIT;
        for (text, expected) in [
            ("0", 0),
            ("2", 2 * unit),
            ("+2", 2 * unit),
            ("500m", unit / 2),
            ("1n", 1),
            ("1u", 1_000),
            ("1k", 1_000 * unit),
            ("1M", 1_000_000 * unit),
            ("1Ki", 1024 * unit),
            ("512Mi", 536_870_912 * unit),
            ("1.5Gi", 1_610_612_736 * unit),
            (".5", unit / 2),
            ("5.", 5 * unit),
            ("1e3", 1_000 * unit),
            ("1E3", 1_000 * unit),
            ("1e+3", 1_000 * unit),
            ("5e-3", unit / 200),
            ("1E", 1_000_000_000_000_000_000 * unit),
            ("7Ei", (7 << 60) * unit),
            ("007", 7 * unit),
            ("0e99999999999999999999", 0),
            ("9223372036854775807", MAX_VALUE * unit),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_fine_is_rounded_up() {
        assert_eq!(nanos("0.1n"), 1);
        assert_eq!(nanos("1e-99999999999"), 1);
        assert_eq!("1.1".parse::<Quantity>().expect("1.1").units(), 2);
        assert_eq!("100u".parse::<Quantity>().expect("100u").millis(), 1);
        assert_eq!("0.0000000001Ki".parse::<Quantity>().expect("tiny").nanos(), 103);
    }

    #[test]
    fn junk_is_refused_with_its_text() {
        for text in [
            "",
            " ",
            "1 ",
            " 1",
            "-1",
            "+",
            "-",
            ".",
            "1..2",
            "1.2.3",
            "Mi",
            "1mi",
            "1MI",
            "1K",
            "1Kb",
            "1KiB",
            "1e",
            "1ee3",
            "1e3.5",
            "1e3Ki",
            "0x10",
            "1_000",
            "1,5",
            "NaN",
            "inf",
            "١",
            "1µ",
            "--1",
            "+-1",
            "9223372036854775808",
            "8Ei",
            "1e30",
            "1e99999999999999999999",
            "340282366920938463463374607431768211456",
        ] {
            let error = text.parse::<Quantity>().expect_err(text);
            assert_eq!(error.text, text);
            assert!(error.to_string().starts_with(&format!("`{text}` is not a quantity: ")), "{error}");
        }
    }

    #[test]
    fn never_panics_on_short_texts() {
        let alphabet = ["0", "1", "9", ".", "-", "+", "e", "E", "i", "K", "k", "m", "n", "µ"];
        for a in alphabet {
            for b in alphabet {
                for c in alphabet {
                    for d in alphabet {
                        let _ = format!("{a}{b}{c}{d}").parse::<Quantity>();
                    }
                }
            }
        }
    }

    #[test]
    fn millis_saturate() {
        assert_eq!("9223372036854775807".parse::<Quantity>().expect("max").millis(), u64::MAX);
        assert_eq!("9223372036854775807".parse::<Quantity>().expect("max").units(), MAX_VALUE as u64);
    }

    #[test]
    fn resources_report_every_fault_at_once() {
        let resources = Resources {
            cpu_request: "much".into(),
            cpu_limit: "0".into(),
            memory_request: "2Gi".into(),
            memory_limit: "1Gi".into(),
        };
        let error = ParsedResources::read(&resources).expect_err("three faults");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        for part in [
            "cpu_request: `much`",
            "cpu_limit: `0` is a limit of zero",
            "memory_request: `2Gi` is above the limit `1Gi`",
        ] {
            assert!(error.message().contains(part), "{}", error.message());
        }
    }

    #[test]
    fn resources_unset() {
        assert_eq!(ParsedResources::read(&Resources::default()).expect("unset"), ParsedResources::default());
    }
}
