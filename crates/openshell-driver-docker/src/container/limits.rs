//! CPU and memory of a request, as what an engine can hold a container to: pure.

use openshell_driver_api::quantity::{ParsedResources, Quantity};
use openshell_driver_api::{DriverError, Resources};

use super::faults::Faults;

/// The engine refuses less: 0.01 CPU.
const LEAST_NANO_CPUS: i64 = 10_000_000;
/// The engine refuses less: 6 MiB.
const LEAST_MEMORY: i64 = 6 * 1024 * 1024;

/// What an engine can hold a container to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Limits {
    pub(super) nano_cpus: Option<i64>,
    pub(super) memory: Option<i64>,
    pub(super) memory_reservation: Option<i64>,
}

impl Limits {
    /// Reads them.
    ///
    /// # Errors
    /// `InvalidArgument` with every one that is junk, too small for an engine, or that it would ignore.
    pub(super) fn read(asked: &Resources) -> Result<Self, DriverError> {
        let parsed = ParsedResources::read(asked)?;
        let mut faults = Faults::default();
        // Shares would only weigh a sandbox against others, and against all that ask for nothing, too, with which an
        // engine gives as much weight as with one whole CPU. Nothing would be reserved.
        if parsed.cpu_request.is_some() {
            let text = &asked.cpu_request;
            faults
                .add(format!("cpu_request: `{text}` cannot be reserved by the docker driver; use cpu_limit"));
        }
        let nano_cpus = parsed.cpu_limit.map(|cpu| i64::try_from(cpu.nanos()).unwrap_or(i64::MAX));
        if nano_cpus.is_some_and(|cpus| cpus < LEAST_NANO_CPUS) {
            faults.add(format!("cpu_limit: `{}` is below the engine's least, `10m`", asked.cpu_limit));
        }
        let bytes =
            |memory: Option<Quantity>| memory.map(|memory| i64::try_from(memory.units()).unwrap_or(i64::MAX));
        let (memory, memory_reservation) = (bytes(parsed.memory_limit), bytes(parsed.memory_request));
        for (field, text, value) in [
            ("memory_limit", &asked.memory_limit, memory),
            ("memory_request", &asked.memory_request, memory_reservation),
        ] {
            // A request of nothing asks for nothing.
            if value.is_some_and(|bytes| bytes > 0 && bytes < LEAST_MEMORY) {
                faults.add(format!("{field}: `{text}` is below the engine's least, `6Mi`"));
            }
        }
        faults.into_result()?;
        Ok(Self { nano_cpus, memory, memory_reservation: memory_reservation.filter(|bytes| *bytes > 0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: impl FnOnce(&mut Resources)) -> Result<Limits, String> {
        let mut resources = Resources::default();
        set(&mut resources);
        Limits::read(&resources).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn limits_in_the_engine_s_units() {
        let limits = read(|r| {
            r.cpu_limit = "500m".into();
            r.memory_limit = "64Mi".into();
            r.memory_request = "32Mi".into();
        });
        let expected = Limits {
            nano_cpus: Some(500_000_000),
            memory: Some(64 << 20),
            memory_reservation: Some(32 << 20),
        };
        assert_eq!(limits, Ok(expected));
        assert_eq!(read(|r| r.memory_request = "0".into()), Ok(Limits::default()));
    }

    #[test]
    fn what_the_engine_would_ignore_or_refuse() {
        type Set = fn(&mut Resources);
        let cases: [(Set, &str); 5] = [
            (|r| r.cpu_request = "1".into(), "cpu_request: `1` cannot be reserved"),
            (|r| r.cpu_limit = "9m".into(), "below the engine's least, `10m`"),
            (|r| r.memory_limit = "5Mi".into(), "below the engine's least, `6Mi`"),
            (|r| r.memory_request = "1".into(), "below the engine's least, `6Mi`"),
            (|r| r.cpu_limit = "lots".into(), "`lots`"),
        ];
        for (set, part) in cases {
            let fault = read(set).expect_err(part);
            assert!(fault.contains(part), "{part}: {fault}");
        }
    }
}
