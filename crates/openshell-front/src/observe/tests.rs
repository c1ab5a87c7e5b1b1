//! The text of `/metrics`, read by a reader that takes nothing for granted.

use std::collections::BTreeMap;

use super::*;
use crate::access::Denied;

/// What a strict reader makes of the text: the kind of every family, and the value of every line by name and labels.
fn read(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let (mut kinds, mut values) = (BTreeMap::new(), BTreeMap::new());
    let mut helped = None;
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = Some(help.split_once(' ').unwrap().0.to_owned());
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(helped.as_deref(), Some(name), "help before type");
            assert!(["counter", "gauge", "histogram"].contains(&kind));
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
            None => (series, ""),
        };
        let family = helped.as_deref().unwrap();
        let suffix = name.strip_prefix(family).unwrap();
        match kinds[family].as_str() {
            "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
            _ => assert_eq!(suffix, "", "{line}"),
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        assert!(name.bytes().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit()), "{name}");
        check_labels(labels);
        let value = if value == "+Inf" { f64::INFINITY } else { value.parse().unwrap() };
        assert!(values.insert(series.to_owned(), value).is_none(), "{series} twice");
    }
    (kinds, values)
}

/// `name="value",…`, where a value has `\`, `"` and line feeds escaped and nothing else.
fn check_labels(mut labels: &str) {
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (_, '\\') => assert!(matches!(chars.next().unwrap().1, '\\' | '"' | 'n')),
                (at, '"') => break at,
                _ => {}
            }
        };
        labels = &rest[end + 1..];
        labels = labels.strip_prefix(',').unwrap_or(labels);
    }
}

#[test]
fn what_is_counted_is_what_is_read() {
    let metrics = Metrics::new("1.2.3");
    let get = MethodId::of("/openshell.v1.OpenShell/GetSandbox");
    for (code, us) in [(Code::Ok, 100), (Code::Ok, 101), (Code::NotFound, 40_000), (Code::Ok, 900_000_000)] {
        metrics.began();
        metrics.ended(get, code, Duration::from_micros(us));
    }
    metrics.began();
    metrics.refused(MethodId::of("/a/b"), Refusal::Denied(Denied::Unknown));
    metrics.refused(MethodId::of("/c/d"), Refusal::Denied(Denied::Unknown));
    metrics.door(Door::Tcp).opened();
    metrics.door(Door::Unix).refused(Closed::Peer);
    let (kinds, values) = read(&render(&metrics.families()));
    assert_eq!(kinds["openshell_gateway_requests_total"], "counter");
    assert_eq!(kinds["openshell_gateway_request_duration_seconds"], "histogram");
    let method = "method=\"openshell.v1.OpenShell/GetSandbox\"";
    let bucket = |le: &str| {
        values[&format!("openshell_gateway_request_duration_seconds_bucket{{{method},le=\"{le}\"}}")]
    };
    assert_eq!(
        (bucket("0.0001"), bucket("0.00025"), bucket("0.05"), bucket("300"), bucket("+Inf")),
        (1., 2., 3., 3., 4.)
    );
    let sum = values[&format!("openshell_gateway_request_duration_seconds_sum{{{method}}}")];
    assert!((sum - 900.040_201).abs() < 1e-6, "{sum}");
    for (series, value) in [
        (format!("openshell_gateway_requests_total{{{method},code=\"OK\"}}"), 3.),
        (format!("openshell_gateway_requests_total{{{method},code=\"NOT_FOUND\"}}"), 1.),
        ("openshell_gateway_requests_total{method=\"unknown\",code=\"UNAUTHENTICATED\"}".to_owned(), 2.),
        ("openshell_gateway_requests_in_flight".to_owned(), 1.),
        ("openshell_gateway_refusals_total{reason=\"unknown\"}".to_owned(), 2.),
        ("openshell_gateway_refusals_total{reason=\"rate\"}".to_owned(), 0.),
        ("openshell_gateway_connections_open{door=\"tcp\"}".to_owned(), 1.),
        ("openshell_gateway_connections_accepted_total{door=\"unix\"}".to_owned(), 1.),
        ("openshell_gateway_connections_closed_total{door=\"unix\",reason=\"peer\"}".to_owned(), 1.),
        ("openshell_gateway_build_info{version=\"1.2.3\"}".to_owned(), 1.),
    ] {
        assert_eq!(values.get(&series), Some(&value), "{series}");
    }
}

#[test]
fn whatever_a_label_holds_the_text_can_be_read() {
    let families = [
        Family::gauge("odd", "A \\ and a\nline.")
            .sample([("text", "say \"hi\"\n\\o/ {}, =")], Value::Number(f64::INFINITY))
            .value(Value::Number(0.25)),
        Family::gauge("none", "Nothing."),
        Family::counter("odd", "Once more.").value(Value::Integer(9)),
    ];
    let text = render(&families);
    assert_eq!(
        text,
        "# HELP odd A \\\\ and a\\nline.\n# TYPE odd gauge\n\
         odd{text=\"say \\\"hi\\\"\\n\\\\o/ {}, =\"} +Inf\nodd 0.25\n"
    );
    assert_eq!(read(&text).1.len(), 2);
}

#[test]
fn codes_have_grpc_names() {
    for (number, name) in (0..).zip(CODES) {
        let code = Code::from_i32(number);
        assert_eq!(code as usize, usize::try_from(number).unwrap());
        let camel = format!("{code:?}").to_ascii_lowercase();
        assert_eq!(name.replace('_', "").to_ascii_lowercase(), camel);
    }
}

#[test]
fn bounds_are_in_order() {
    assert!(BOUNDS_US.is_sorted());
}
