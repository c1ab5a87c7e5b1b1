//! What a gateway tells of its driver, in words and in JSON: for `status`.

use openshell_proto::gateway::v1alpha1::{DriverFailure, DriverStatus, MethodStatus, MethodSupport};
use serde_json::{Value, json};

use crate::screen::Style;
use crate::session::Printer;
use crate::table::Cell;
use crate::text::{age, clean, time};

/// What is told of it besides its name and version, a line each.
pub(super) fn lines(driver: &DriverStatus, now_ms: i64) -> Vec<(&'static str, String)> {
    let mut lines = vec![("reached", reached(driver))];
    let since = format!("since {} ({})", time(driver.since_ms), age(driver.since_ms, now_ms));
    let again = match driver.reconnects {
        0 => String::new(),
        1 => ", once anew".to_owned(),
        count => format!(", {count} times anew"),
    };
    lines.push(("connected", format!("{} {since}{again}", if driver.connected { "yes," } else { "no," })));
    if let Some(lag) = driver.watch_lag_us {
        lines.push(("watch lag", lag_words(lag)));
    }
    lines.push(("sandboxes", format!("{}, {} with a supervisor", driver.sandboxes, driver.supervised)));
    let lacks: Vec<String> = lacking(driver).map(|method| clean(&method.name)).collect();
    if !lacks.is_empty() {
        lines.push(("lacks", lacks.join(", ")));
    }
    if let Some(failure) = &driver.last_failure {
        let DriverFailure { at_ms, method, code, message } = failure;
        let words = format!("{} ago, {}, {}", age(*at_ms, now_ms), clean(method), clean(code));
        lines.push(("last failure", format!("{words}: {}", clean(message))));
    }
    lines
}

/// Its methods, a row each.
pub(super) fn methods(printer: &Printer, driver: &DriverStatus) -> String {
    let mut table = printer.table(["METHOD", "HAS IT", "CALLS", "FAILURES"]);
    for method in &driver.methods {
        let has = match method.support() {
            MethodSupport::Served => Cell::styled("yes", Style::Good),
            MethodSupport::Unimplemented => Cell::styled("no", Style::Moving),
            MethodSupport::Unspecified => Cell::styled("not known", Style::Faint),
        };
        let (calls, failures) = (method.calls.to_string(), method.failures.to_string());
        table.push([clean(&method.name).into(), has, calls.into(), failures.into()]);
    }
    table.render(&printer.screen)
}

/// The same for programs: every key is always there, and null where the gateway does not tell.
pub(super) fn json(driver: Option<&DriverStatus>) -> Value {
    let methods = driver.map(|driver| driver.methods.iter().map(method_json).collect::<Vec<_>>());
    let failure = driver.and_then(|driver| driver.last_failure.as_ref());
    json!({
        "kind": driver.map(|it| &it.kind),
        "socket": driver.and_then(|it| (!it.socket.is_empty()).then_some(&it.socket)),
        "connected": driver.map(|it| it.connected),
        "since_ms": driver.map(|it| it.since_ms),
        "reconnects": driver.map(|it| it.reconnects),
        "watch_lag_us": driver.and_then(|it| it.watch_lag_us),
        "sandboxes": driver.map(|it| it.sandboxes),
        "supervised": driver.map(|it| it.supervised),
        "methods": methods,
        "last_failure": failure.map(|it| json!({
            "at_ms": it.at_ms, "method": it.method, "code": it.code, "message": it.message,
        })),
    })
}

fn method_json(method: &MethodStatus) -> Value {
    let support = match method.support() {
        MethodSupport::Served => "served",
        MethodSupport::Unimplemented => "unimplemented",
        MethodSupport::Unspecified => "unknown",
    };
    json!({
        "name": method.name, "support": support, "calls": method.calls, "failures": method.failures,
    })
}

fn lacking(driver: &DriverStatus) -> impl Iterator<Item = &MethodStatus> {
    driver.methods.iter().filter(|method| method.support() == MethodSupport::Unimplemented)
}

fn reached(driver: &DriverStatus) -> String {
    match (driver.kind.as_str(), driver.socket.as_str()) {
        ("in-process", _) => "in the gateway's process".to_owned(),
        ("process", _) => "as a program that the gateway starts".to_owned(),
        ("socket", socket) => format!("at the socket {}", clean(socket)),
        (kind, _) => clean(kind),
    }
}

/// Microseconds as people say them.
fn lag_words(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros / 100 % 10),
        _ => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Form;
    use crate::screen::Screen;

    fn driver() -> DriverStatus {
        let method = |name: &str, support: MethodSupport, calls, failures| MethodStatus {
            name: name.to_owned(),
            support: support.into(),
            calls,
            failures,
        };
        DriverStatus {
            name: "kyma".to_owned(),
            kind: "socket".to_owned(),
            socket: "/run/kyma.sock".to_owned(),
            connected: true,
            since_ms: 0,
            reconnects: 2,
            watch_lag_us: Some(1_540),
            sandboxes: 3,
            supervised: 1,
            methods: vec![
                method("StopSandbox", MethodSupport::Served, 7, 1),
                method("StartSandbox", MethodSupport::Unimplemented, 1, 0),
                method("DeleteSandbox", MethodSupport::Unspecified, 0, 0),
            ],
            last_failure: Some(DriverFailure {
                at_ms: 5_000,
                method: "StopSandbox".to_owned(),
                code: "INTERNAL".to_owned(),
                message: "it\u{1b}[31m broke".to_owned(),
            }),
            ..DriverStatus::default()
        }
    }

    #[test]
    fn a_driver_is_told_in_lines() {
        assert_eq!(
            lines(&driver(), 10_000),
            [
                ("reached", "at the socket /run/kyma.sock".to_owned()),
                ("connected", "yes, since 1970-01-01T00:00:00Z (10s), 2 times anew".to_owned()),
                ("watch lag", "1.5 ms".to_owned()),
                ("sandboxes", "3, 1 with a supervisor".to_owned()),
                ("lacks", "StartSandbox".to_owned()),
                ("last failure", r"5s ago, StopSandbox, INTERNAL: it\u{1b}[31m broke".to_owned()),
            ]
        );
        let away = DriverStatus { kind: "process".to_owned(), since_ms: 1_000, ..DriverStatus::default() };
        assert_eq!(
            lines(&away, 4_000),
            [
                ("reached", "as a program that the gateway starts".to_owned()),
                ("connected", "no, since 1970-01-01T00:00:01Z (3s)".to_owned()),
                ("sandboxes", "0, 0 with a supervisor".to_owned()),
            ]
        );
    }

    #[test]
    fn its_methods_are_rows() {
        let printer = Printer { form: Form::Table, headers: true, quiet: false, screen: Screen::none() };
        assert_eq!(
            methods(&printer, &driver()),
            "METHOD         HAS IT     CALLS  FAILURES\n\
             StopSandbox    yes        7      1\n\
             StartSandbox   no         1      0\n\
             DeleteSandbox  not known  0      0\n"
        );
    }

    #[test]
    fn json_has_the_same_keys_whether_the_gateway_tells_or_not() {
        let (told, untold) = (json(Some(&driver())), json(None));
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&told), keys(&untold));
        assert!(untold.as_object().unwrap().values().all(Value::is_null), "{untold}");
        assert_eq!(told["methods"][1]["support"], "unimplemented");
        assert_eq!(told["last_failure"]["code"], "INTERNAL");
    }
}
