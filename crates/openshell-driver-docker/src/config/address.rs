//! The keys that say where the engine is, which belong together.

use std::path::{Path, PathBuf};

use openshell_driver_common::config::{Problem, Reader, absolute};

use crate::engine::{Address, OVERHEARD, Tcp, TlsFiles};

/// Where the engine is: `socket_path`, or `host` with its certificates. `None` when no key says so.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Address> {
    let socket = reader.text("socket_path", socket);
    let host = reader.text("host", |text| Address::parse(text).map_err(|problem| (problem, example())));
    let ca = reader.text("tls_ca_path", |text| absolute("tls_ca_path", text));
    let certificate = reader.text("tls_cert_path", |text| absolute("tls_cert_path", text));
    let key = reader.text("tls_key_path", |text| absolute("tls_key_path", text));
    let insecure = reader.switch("insecure_tcp");
    let given = |reader: &Reader<'_>, key: &str| reader.has(key);

    if given(reader, "socket_path") && given(reader, "host") {
        let message = "`host` and `socket_path` both say where the engine is".to_owned();
        reader.fault("host", message, Some("leave one of them out".to_owned()));
        return None;
    }
    let mut tcp = match host {
        Some(Address::Tcp(tcp)) => tcp,
        other => {
            // Where `host` itself is wrong, that has been said.
            if other.is_some() || !given(reader, "host") {
                for key in ["tls_ca_path", "tls_cert_path", "tls_key_path", "insecure_tcp"] {
                    if given(reader, key) {
                        reader.fault(
                            key,
                            format!("`{key}` is about an engine at a port, and `host` names none"),
                            example(),
                        );
                    }
                }
            }
            return other.or(socket.map(Address::Unix));
        }
    };
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (certificate, _) => {
            let (there, missing) = match certificate {
                Some(_) => ("tls_cert_path", "tls_key_path"),
                None => ("tls_key_path", "tls_cert_path"),
            };
            if given(reader, there) && !given(reader, missing) {
                let hint = Some(format!("{missing} = \"/path/to/file.pem\""));
                reader.fault(missing, format!("`{there}` is of no use without `{missing}`"), hint);
            }
            None
        }
    };
    match ca {
        Some(ca) => tcp.tls = Some(TlsFiles { ca, client }),
        None if client.is_some() && !given(reader, "tls_ca_path") => {
            let message =
                "`tls_cert_path` is of no use without `tls_ca_path`, by which the engine is known".to_owned();
            reader.fault("tls_ca_path", message, Some("tls_ca_path = \"/path/to/ca.pem\"".to_owned()));
        }
        None => plain(reader, &tcp, insecure),
    }
    Some(Address::Tcp(tcp))
}

fn plain(reader: &mut Reader<'_>, tcp: &Tcp, insecure: bool) {
    if tcp.may_be_overheard() && !insecure && !reader.has("tls_ca_path") {
        let hint = "tls_ca_path, tls_cert_path and tls_key_path; or insecure_tcp = true on a network that nobody else is on";
        reader.fault("host", format!("`tcp://{}` is {OVERHEARD}", tcp.authority()), Some(hint.to_owned()));
    }
}

fn example() -> Option<String> {
    Some("host = \"tcp://engine.example:2376\"".to_owned())
}

fn socket(text: &str) -> Result<PathBuf, Problem> {
    if Path::new(text).is_absolute() {
        return Ok(PathBuf::from(text));
    }
    let bare = text.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
    Err(("is not an absolute path".to_owned(), Some(format!("socket_path = \"{bare}\""))))
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::Table;

    use super::super::Config;
    use super::*;

    fn read(text: &str) -> Result<Option<Address>, Vec<(String, String)>> {
        let config = Config::read(&text.parse::<Table>().expect("TOML"));
        config
            .map(|config| config.host)
            .map_err(|faults| faults.into_iter().map(|fault| (fault.key, fault.message)).collect())
    }

    #[test]
    fn an_engine_at_a_port() {
        let tcp = |host: &str, port, tls| Ok(Some(Address::Tcp(Tcp { host: host.into(), port, tls })));
        assert_eq!(read("host = 'tcp://127.0.0.1:2375'"), tcp("127.0.0.1", 2375, None));
        assert_eq!(read("host = 'tcp://10.0.0.1:2375'\ninsecure_tcp = true"), tcp("10.0.0.1", 2375, None));
        let ca = TlsFiles { ca: "/ca".into(), client: None };
        assert_eq!(read("host = 'tcp://e:2376'\ntls_ca_path = '/ca'"), tcp("e", 2376, Some(ca)));
        let all = TlsFiles { ca: "/ca".into(), client: Some(("/cert".into(), "/key".into())) };
        let text =
            "host = 'tcp://e:2376'\ntls_ca_path = '/ca'\ntls_cert_path = '/cert'\ntls_key_path = '/key'";
        assert_eq!(read(text), tcp("e", 2376, Some(all)));
        assert_eq!(read("host = 'unix:///run/d.sock'"), Ok(Some(Address::Unix("/run/d.sock".into()))));
    }

    #[test]
    fn keys_that_do_not_go_together() {
        for (text, key, words) in [
            ("host = 'unix:///a'\nsocket_path = '/a'", "host", "both say where"),
            ("host = 'unix:///a'\ntls_ca_path = '/ca'", "tls_ca_path", "names none"),
            ("insecure_tcp = true", "insecure_tcp", "names none"),
            ("host = 'tcp://10.0.0.1:2375'", "host", "plain TCP beyond loopback"),
            (
                "host = 'tcp://e:1'\ntls_ca_path = '/ca'\ntls_cert_path = '/c'",
                "tls_key_path",
                "without `tls_key_path`",
            ),
            (
                "host = 'tcp://e:1'\ntls_ca_path = '/ca'\ntls_key_path = '/c'",
                "tls_cert_path",
                "without `tls_cert_path`",
            ),
            (
                "host = 'tcp://e:1'\ntls_cert_path = '/c'\ntls_key_path = '/k'",
                "tls_ca_path",
                "without `tls_ca_path`",
            ),
            ("host = 'tcp://e:1'\ntls_ca_path = 'ca'", "tls_ca_path", "is not an absolute path"),
            ("host = 'ssh://e'\ntls_ca_path = '/ca'", "host", "ssh engines are not supported"),
        ] {
            let faults = read(text).expect_err(text);
            assert_eq!(faults.len(), 1, "{faults:?} of {text}");
            assert_eq!(faults[0].0, key, "{text}");
            assert!(faults[0].1.contains(words), "{faults:?}");
        }
    }
}
