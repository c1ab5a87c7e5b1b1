//! A manifest and builds of it for tests: six drivers, of which a test says which are compiled in.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::{
    ComputeDriver, ConfigError, Detection, DriverContext, DriverError, DriverFactory, ErrorKind, ProbeEnv,
    Registration, Table, Tried, async_trait,
};

use crate::catalog::{Arm, Catalog, DriverEntry, OptionEntry};

const fn entry(name: &'static str, feature: &'static str, kind: &'static str) -> DriverEntry {
    DriverEntry {
        name,
        summary: "a driver",
        kind,
        feature,
        socket: None,
        detect: false,
        platforms: &[],
        platform_ok: true,
        program: None,
    }
}

static DRIVERS: [DriverEntry; 6] = [
    DriverEntry {
        detect: true,
        program: Some("openshell-driver-kubernetes"),
        ..entry("kubernetes", "driver-kubernetes", "in-tree")
    },
    DriverEntry {
        detect: true,
        program: Some("openshell-driver-podman"),
        ..entry("podman", "driver-podman", "in-tree")
    },
    DriverEntry {
        detect: true,
        program: Some("openshell-driver-docker"),
        ..entry("docker", "driver-docker", "in-tree")
    },
    DriverEntry { platforms: &["linux", "macos"], platform_ok: false, ..entry("vm", "driver-vm", "process") },
    DriverEntry { socket: Some("/run/kyma.sock"), ..entry("kyma", "driver-kyma", "socket") },
    entry("external", "driver-external", "socket"),
];

static OPTIONS: [OptionEntry; 1] = [OptionEntry {
    name: "telemetry",
    summary: "usage events",
    env: Some("OPENSHELL_TELEMETRY_ENABLED"),
    compiled: false,
}];

/// How a fake driver's probe behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FakeProbe {
    /// Its backend is not there.
    Absent,
    /// Its backend answers after so many milliseconds.
    FoundAfter(u64),
    /// It never comes back.
    Hangs,
    /// It never comes back and holds its thread.
    Blocks,
    /// It panics.
    Panics,
}

#[async_trait]
impl DriverFactory for FakeProbe {
    /// Knows two keys: `image`, a text, and the table `limits` with an integer `pids`.
    fn check_config(&self, table: &Table) -> Result<(), Vec<ConfigError>> {
        let fault = |key: &str, message: String| ConfigError { key: key.to_owned(), message, hint: None };
        let mut faults = Vec::new();
        for (key, value) in table {
            match key.as_str() {
                "image" if value.is_str() => {}
                "image" => faults.push(fault(key, "`image` has to be a text".to_owned())),
                "limits" if value.get("pids").is_none_or(toml::Value::is_integer) => {}
                "limits" => faults.push(fault("limits.pids", "`pids` has to be a number".to_owned())),
                _ => faults.push(fault(key, format!("unknown key `{key}`"))),
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    async fn detect(&self, _env: &ProbeEnv) -> Detection {
        let found = Detection { found: Some("a fake answered".to_owned()), tried: Vec::new() };
        match self {
            Self::Absent => {
                let tried = |candidate: &str, outcome: &str| Tried {
                    candidate: candidate.into(),
                    outcome: outcome.into(),
                };
                Detection {
                    found: None,
                    tried: vec![tried("FAKE_HOST", "unset"), tried("/run/fake.sock", "no such socket")],
                }
            }
            Self::FoundAfter(millis) => {
                tokio::time::sleep(Duration::from_millis(*millis)).await;
                found
            }
            Self::Hangs => std::future::pending().await,
            Self::Blocks => {
                std::thread::sleep(Duration::from_secs(4));
                found
            }
            Self::Panics => panic!("a probe that panics"),
        }
    }

    async fn open(
        &self,
        _context: DriverContext,
        _table: &Table,
    ) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        Err(DriverError::new(ErrorKind::Unimplemented, "open fake", "a fake runs nothing"))
    }
}

static ABSENT: Registration = registration(&FakeProbe::Absent);
static FOUND: Registration = registration(&FakeProbe::FoundAfter(0));
static SLOW: Registration = registration(&FakeProbe::FoundAfter(60));
static HANGS: Registration = registration(&FakeProbe::Hangs);
static BLOCKS: Registration = registration(&FakeProbe::Blocks);
static PANICS: Registration = registration(&FakeProbe::Panics);

const fn registration(factory: &'static FakeProbe) -> Registration {
    Registration { package: "fake", version: "0", factory, marker: b"crate:fake\0" }
}

thread_local! {
    /// The build of the test that runs on this thread: `Catalog::arm` is a plain function and holds no state.
    static BUILD: RefCell<Vec<(&'static str, FakeProbe)>> = const { RefCell::new(Vec::new()) };
}

/// A build with some drivers in it.
pub(crate) struct Build;

impl Build {
    /// Makes this thread's catalog one of a build with these drivers.
    pub(crate) fn of(drivers: &[(&'static str, FakeProbe)]) -> Self {
        BUILD.with_borrow_mut(|build| *build = drivers.to_vec());
        Self
    }

    /// The same, where no probe matters.
    pub(crate) fn with(names: &[&'static str]) -> Self {
        Self::of(&names.iter().map(|name| (*name, FakeProbe::Absent)).collect::<Vec<_>>())
    }

    /// Its catalog.
    pub(crate) fn catalog(&self) -> Catalog {
        Catalog { drivers: &DRIVERS, options: &OPTIONS, arm, dialer: None, launcher: None }
    }
}

fn arm(name: &str) -> Option<Arm> {
    let probe =
        BUILD.with_borrow(|build| build.iter().find(|(built, _)| *built == name).map(|(_, probe)| *probe))?;
    let registration = match probe {
        FakeProbe::Absent => &ABSENT,
        FakeProbe::FoundAfter(0) => &FOUND,
        FakeProbe::FoundAfter(_) => &SLOW,
        FakeProbe::Hangs => &HANGS,
        FakeProbe::Blocks => &BLOCKS,
        FakeProbe::Panics => &PANICS,
    };
    let kind = DRIVERS.iter().find(|entry| entry.name == name).map(|entry| entry.kind)?;
    Some(match kind {
        "socket" => Arm::Socket { marker: b"arm:fake\0" },
        "process" => {
            Arm::Process { program: "openshell-driver-fake", supervisor: false, marker: b"arm:fake\0" }
        }
        _ => Arm::Crate { registration, marker: b"arm:fake\0" },
    })
}
