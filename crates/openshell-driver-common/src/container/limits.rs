//! CPU and memory of a request, as what an engine can hold a container to: pure.

use openshell_driver_api::quantity::{ParsedResources, Quantity};
use openshell_driver_api::{DriverError, Resources};

use crate::faults::Faults;

/// What an engine refuses to go below, and who says so.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    /// The driver's name, for people.
    pub driver: &'static str,
    /// The least limit of CPU.
    pub cpu: &'static str,
    /// The least limit of memory.
    pub memory: &'static str,
}

/// What an engine can hold a container to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Thousand millionths of a CPU.
    pub nano_cpus: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Bytes that are kept for it where they are short.
    pub memory_reservation: Option<i64>,
}

impl Limits {
    /// Reads them.
    ///
    /// # Errors
    /// `InvalidArgument` with every one that is junk, too small for an engine, or that it would ignore.
    pub fn read(asked: &Resources, floor: &Floor) -> Result<Self, DriverError> {
        let Floor { driver, cpu: least_cpu, memory: least_memory } = floor;
        let parsed = ParsedResources::read(asked)?;
        let mut faults = Faults::default();
        // Shares would only weigh a sandbox against others, and against all that ask for nothing, too, with which an
        // engine gives as much weight as with one whole CPU. Nothing would be reserved.
        if parsed.cpu_request.is_some() {
            let text = &asked.cpu_request;
            faults.add(format!(
                "cpu_request: `{text}` cannot be reserved by the {driver} driver; use cpu_limit"
            ));
        }
        let nano_cpus = parsed.cpu_limit.map(in_nanos);
        if nano_cpus.zip(nanos(least_cpu)).is_some_and(|(cpus, least)| cpus < least) {
            faults
                .add(format!("cpu_limit: `{}` is below the engine's least, `{least_cpu}`", asked.cpu_limit));
        }
        let bytes =
            |memory: Option<Quantity>| memory.map(|memory| i64::try_from(memory.units()).unwrap_or(i64::MAX));
        let (memory, memory_reservation) = (bytes(parsed.memory_limit), bytes(parsed.memory_request));
        for (field, text, value) in [
            ("memory_limit", &asked.memory_limit, memory),
            ("memory_request", &asked.memory_request, memory_reservation),
        ] {
            // A request of nothing asks for nothing.
            if value
                .zip(bytes(least_memory.parse().ok()))
                .is_some_and(|(bytes, least)| bytes > 0 && bytes < least)
            {
                faults.add(format!("{field}: `{text}` is below the engine's least, `{least_memory}`"));
            }
        }
        faults.into_result()?;
        Ok(Self { nano_cpus, memory, memory_reservation: memory_reservation.filter(|bytes| *bytes > 0) })
    }
}

fn in_nanos(cpu: Quantity) -> i64 {
    i64::try_from(cpu.nanos()).unwrap_or(i64::MAX)
}

fn nanos(text: &str) -> Option<i64> {
    text.parse().ok().map(in_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Floor = Floor { driver: "any", cpu: "10m", memory: "6Mi" };

    fn read(set: impl FnOnce(&mut Resources)) -> Result<Limits, String> {
        let mut resources = Resources::default();
        set(&mut resources);
        Limits::read(&resources, &FLOOR).map_err(|error| error.message().to_owned())
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
