//! Between `google.protobuf.Struct` and JSON: the same values, and an error where one side has no such value.
//!
//! A `Struct` knows one kind of number, the 64-bit float. Whole numbers become JSON integers, so that `{"cpus": 2}`
//! arrives as the `2` that was written, and an integer that a float cannot hold is refused, not rounded.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as ProtoValue};
use serde_json::{Map, Number, Value};

/// The largest integer up to which a 64-bit float holds every one: 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// How deep objects and arrays may lie in each other. A reader of protobuf stops at 100 messages within messages, and
/// an object within an object is three of them.
pub const MAX_DEPTH: usize = 30;

/// Why a value has no counterpart. `path` is where it lies, as `limits.cpu` or `mounts[0].size`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StructError {
    /// JSON has neither infinities nor a not-a-number.
    #[error("`{path}` is not a finite number")]
    NotFinite {
        /// Where.
        path: String,
    },
    /// A `Struct` would round this number.
    #[error("`{path}` is `{number}`, which a protobuf `Struct` cannot hold exactly")]
    Inexact {
        /// Where.
        path: String,
        /// The number as it was written.
        number: String,
    },
    /// No reader would take it.
    #[error("`{path}` lies deeper than {MAX_DEPTH} objects")]
    TooDeep {
        /// Where.
        path: String,
    },
}

/// A `Struct` as a JSON object. A value of no kind counts as `null`.
///
/// # Errors
/// [`StructError::NotFinite`].
pub fn to_json(fields: &Struct) -> Result<Map<String, Value>, StructError> {
    object_to_json(fields, "")
}

/// A JSON object as a `Struct`.
///
/// # Errors
/// [`StructError::Inexact`] and [`StructError::TooDeep`].
pub fn from_json(object: &Map<String, Value>) -> Result<Struct, StructError> {
    object_from_json(object, "", 0)
}

fn object_to_json(fields: &Struct, path: &str) -> Result<Map<String, Value>, StructError> {
    fields
        .fields
        .iter()
        .map(|(key, value)| Ok((key.clone(), value_to_json(value, &member(path, key))?)))
        .collect()
}

fn value_to_json(value: &ProtoValue, path: &str) -> Result<Value, StructError> {
    Ok(match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(*flag),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::NumberValue(number)) => number_to_json(*number, path)?,
        Some(Kind::StructValue(fields)) => Value::Object(object_to_json(fields, path)?),
        Some(Kind::ListValue(list)) => list
            .values
            .iter()
            .enumerate()
            .map(|(index, item)| value_to_json(item, &format!("{path}[{index}]")))
            .collect::<Result<_, _>>()?,
    })
}

fn number_to_json(number: f64, path: &str) -> Result<Value, StructError> {
    if number.fract() == 0.0 && number.abs() <= MAX_EXACT {
        // In range, so the conversion is exact.
        return Ok(Value::from(number as i64));
    }
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or_else(|| StructError::NotFinite { path: path.to_owned() })
}

fn object_from_json(object: &Map<String, Value>, path: &str, depth: usize) -> Result<Struct, StructError> {
    let fields = object
        .iter()
        .map(|(key, value)| Ok((key.clone(), value_from_json(value, &member(path, key), depth)?)))
        .collect::<Result<_, _>>()?;
    Ok(Struct { fields })
}

fn value_from_json(value: &Value, path: &str, depth: usize) -> Result<ProtoValue, StructError> {
    if depth == MAX_DEPTH && (value.is_object() || value.is_array()) {
        return Err(StructError::TooDeep { path: path.to_owned() });
    }
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Number(number) => Kind::NumberValue(number_from_json(number, path)?),
        Value::Object(object) => Kind::StructValue(object_from_json(object, path, depth + 1)?),
        Value::Array(items) => {
            let values = items
                .iter()
                .enumerate()
                .map(|(index, item)| value_from_json(item, &format!("{path}[{index}]"), depth + 1))
                .collect::<Result<_, _>>()?;
            Kind::ListValue(ListValue { values })
        }
    };
    Ok(ProtoValue { kind: Some(kind) })
}

fn number_from_json(number: &Number, path: &str) -> Result<f64, StructError> {
    let inexact = || StructError::Inexact { path: path.to_owned(), number: number.to_string() };
    // Judged before the conversion, which rounds.
    let magnitude = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
    if magnitude.is_some_and(|magnitude| magnitude > MAX_EXACT as u64) {
        return Err(inexact());
    }
    number.as_f64().ok_or_else(inexact)
}

fn member(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("the test's own JSON")
    }

    fn number(number: f64) -> Struct {
        let value = ProtoValue { kind: Some(Kind::NumberValue(number)) };
        Struct { fields: [("n".to_owned(), value)].into() }
    }

    #[test]
    fn what_goes_there_comes_back() {
        let text = r#"{"a":{"b":[1,-2,0.5,true,null,"x",{},[]]},"c":9007199254740992}"#;
        let there = from_json(&object(text)).expect("representable");
        assert_eq!(to_json(&there).expect("representable"), object(text));
    }

    #[test]
    fn a_whole_float_is_an_integer() {
        assert_eq!(to_json(&number(2.0)).expect("finite"), object(r#"{"n":2}"#));
        assert_eq!(to_json(&number(-0.0)).expect("finite"), object(r#"{"n":0}"#));
    }

    #[test]
    fn no_number_is_rounded_in_silence() {
        for bad in ["-9007199254740993", "18446744073709551615", "-9223372036854775808"] {
            assert!(from_json(&object(&format!("{{\"n\":{bad}}}"))).is_err(), "{bad}");
        }
        let error = from_json(&object(r#"{"a":[{"b":9007199254740993}]}"#)).expect_err("too precise");
        assert_eq!(
            error.to_string(),
            "`a[0].b` is `9007199254740993`, which a protobuf `Struct` cannot hold exactly"
        );
    }

    #[test]
    fn what_is_too_deep_to_be_read_is_not_written() {
        let nested = |depth: usize| object(&format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)));
        let there = from_json(&nested(MAX_DEPTH + 1)).expect("the deepest");
        let spec = crate::openshell::v1::SandboxSpec {
            template: Some(crate::openshell::v1::SandboxTemplate {
                driver_config: Some(there),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request = crate::openshell::v1::CreateSandboxRequest { spec: Some(spec), ..Default::default() };
        let read = crate::openshell::v1::CreateSandboxRequest::decode(request.encode_to_vec().as_slice());
        assert_eq!(read.expect("it is read"), request);
        assert!(matches!(from_json(&nested(MAX_DEPTH + 2)), Err(StructError::TooDeep { .. })));
    }

    #[test]
    fn json_has_no_infinity() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(to_json(&number(bad)), Err(StructError::NotFinite { path: "n".to_owned() }));
        }
    }

    #[test]
    fn a_value_of_no_kind_is_null() {
        let fields = Struct { fields: [("n".to_owned(), ProtoValue { kind: None })].into() };
        assert_eq!(to_json(&fields).expect("null"), object(r#"{"n":null}"#));
    }
}
