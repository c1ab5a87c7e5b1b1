//! CPU and memory of a request as the size of a machine: pure.
//!
//! A machine has a size and no limits: what it is given it has, and more it never gets. So a request and a limit can only
//! be the same, and there is nothing between two whole CPUs.

use openshell_driver_api::Resources;
use openshell_driver_api::quantity::{ParsedResources, Quantity};
use openshell_driver_common::faults::Faults;

use crate::config::{Config, LEAST_MEMORY};

/// How large a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// CPUs.
    pub(crate) cpus: u32,
    /// Bytes, whole MiB.
    pub(crate) memory: u64,
}

/// What the host has, and no machine may have more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HostSize {
    /// CPUs that this process may run on.
    pub(crate) cpus: u32,
    /// Bytes.
    pub(crate) memory: u64,
}

const MIB: u64 = 1 << 20;
/// Of one CPU.
const NANOS: u128 = 1_000_000_000;

impl HostSize {
    /// Asks the kernel.
    pub(crate) fn of_this_host() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let info = rustix::system::sysinfo();
        let memory = info.totalram.saturating_mul(info.mem_unit.into());
        Self { cpus: u32::try_from(cpus).unwrap_or(u32::MAX), memory }
    }

    /// What of the configured sizes is more than there is.
    pub(crate) fn refuses(&self, config: &Config) -> Option<String> {
        if config.cpus > self.cpus {
            return Some(format!("`cpus` is {}, and the host has {}", config.cpus, self.cpus));
        }
        let mib = |bytes: u64| bytes / MIB;
        (config.memory > self.memory)
            .then(|| format!("`memory` is {}Mi, and the host has {}Mi", mib(config.memory), mib(self.memory)))
    }
}

impl Size {
    /// Reads what a request asks for; what it leaves open is the configuration's.
    pub(crate) fn read(asked: &Resources, config: &Config, host: &HostSize, faults: &mut Faults) -> Self {
        let default = Self { cpus: config.cpus, memory: whole_mib(config.memory) };
        let Some(parsed) = faults.take(ParsedResources::read(asked)) else { return default };
        let cpu = one(
            ("cpu_request", &asked.cpu_request, parsed.cpu_request),
            ("cpu_limit", &asked.cpu_limit, parsed.cpu_limit),
            faults,
        );
        let memory = one(
            ("memory_request", &asked.memory_request, parsed.memory_request),
            ("memory_limit", &asked.memory_limit, parsed.memory_limit),
            faults,
        );
        let cpus = cpu.and_then(|(field, text, cpu)| faults.about(field, cpus(text, cpu, host)));
        let memory = memory.and_then(|(field, text, memory)| faults.about(field, bytes(text, memory, host)));
        Self { cpus: cpus.unwrap_or(default.cpus), memory: memory.unwrap_or(default.memory) }
    }
}

/// A field's name, its text, and what that means.
type Field<'a> = (&'static str, &'a str, Option<Quantity>);

/// The one size that a request and a limit say; a request of nothing asks for nothing.
fn one<'a>(
    request: Field<'a>,
    limit: Field<'a>,
    faults: &mut Faults,
) -> Option<(&'static str, &'a str, Quantity)> {
    let said = |(name, text, value): Field<'a>| {
        value.filter(|value| !value.is_zero()).map(|value| (name, text, value))
    };
    match (said(request), said(limit)) {
        (Some((name, text, least)), Some((_, most_text, most))) if least != most => {
            faults.add(format!(
                "{name}: `{text}` is not the limit `{most_text}`; a machine has one size, so give both the same, or one"
            ));
            None
        }
        (request, limit) => limit.or(request),
    }
}

fn cpus(text: &str, cpu: Quantity, host: &HostSize) -> Result<u32, String> {
    if !cpu.nanos().is_multiple_of(NANOS) {
        return Err(format!("`{text}` is not a whole number: a machine has whole CPUs"));
    }
    match u32::try_from(cpu.units()) {
        Ok(cpus) if cpus <= host.cpus => Ok(cpus),
        _ => Err(format!("`{text}` is more than the {} CPUs of the host", host.cpus)),
    }
}

fn bytes(text: &str, memory: Quantity, host: &HostSize) -> Result<u64, String> {
    let memory = memory.units();
    if memory < LEAST_MEMORY {
        return Err(format!("`{text}` is less than a guest's kernel needs, `{}Mi`", LEAST_MEMORY / MIB));
    }
    if memory > host.memory {
        return Err(format!("`{text}` is more than the {}Mi of the host", host.memory / MIB));
    }
    Ok(whole_mib(memory))
}

/// Never more than was said.
fn whole_mib(bytes: u64) -> u64 {
    bytes / MIB * MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostSize = HostSize { cpus: 4, memory: 8 << 30 };

    fn read(set: impl FnOnce(&mut Resources)) -> Result<Size, String> {
        let mut resources = Resources::default();
        set(&mut resources);
        let mut faults = Faults::default();
        let size = Size::read(&resources, &Config::default(), &HOST, &mut faults);
        faults.into_result().map(|()| size).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_is_asked_for_or_the_default() {
        assert_eq!(read(|_| ()), Ok(Size { cpus: 1, memory: 512 << 20 }));
        for set in [
            (|r: &mut Resources| (r.cpu_limit, r.memory_limit) = ("2".into(), "128Mi".into()))
                as fn(&mut Resources),
            |r| (r.cpu_request, r.memory_request) = ("2000m".into(), "128Mi".into()),
            |r| {
                (r.cpu_request, r.cpu_limit) = ("2".into(), "2000m".into());
                (r.memory_request, r.memory_limit) = ("0".into(), "128Mi".into());
            },
        ] {
            assert_eq!(read(set), Ok(Size { cpus: 2, memory: 128 << 20 }));
        }
        assert_eq!(read(|r| r.memory_limit = "100663400".into()).map(|size| size.memory), Ok(96 << 20));
    }

    #[test]
    fn what_no_machine_of_this_host_can_be() {
        type Set = fn(&mut Resources);
        let cases: [(Set, &str); 8] = [
            (
                |r| r.cpu_limit = "500m".into(),
                "cpu_limit: `500m` is not a whole number: a machine has whole CPUs",
            ),
            (|r| r.cpu_request = "1.5".into(), "cpu_request: `1.5` is not a whole number"),
            (|r| r.cpu_limit = "1000000001n".into(), "`1000000001n` is not a whole number"),
            (|r| r.cpu_limit = "5".into(), "cpu_limit: `5` is more than the 4 CPUs of the host"),
            (
                |r| r.memory_limit = "95Mi".into(),
                "memory_limit: `95Mi` is less than a guest's kernel needs, `96Mi`",
            ),
            (
                |r| r.memory_request = "9Gi".into(),
                "memory_request: `9Gi` is more than the 8192Mi of the host",
            ),
            (
                |r| (r.memory_request, r.memory_limit) = ("96Mi".into(), "128Mi".into()),
                "memory_request: `96Mi` is not the limit `128Mi`; a machine has one size",
            ),
            (|r| r.cpu_limit = "lots".into(), "`lots`"),
        ];
        for (set, part) in cases {
            let fault = read(set).expect_err(part);
            assert!(fault.contains(part), "{part}: {fault}");
        }
    }

    #[test]
    fn a_configuration_beyond_the_host_is_told() {
        assert_eq!(HOST.refuses(&Config::default()), None);
        let large = Config { cpus: 5, ..Config::default() };
        assert_eq!(HOST.refuses(&large).as_deref(), Some("`cpus` is 5, and the host has 4"));
        let large = Config { memory: 9 << 30, ..Config::default() };
        assert_eq!(HOST.refuses(&large).as_deref(), Some("`memory` is 9216Mi, and the host has 8192Mi"));
        let this = HostSize::of_this_host();
        assert!(this.cpus >= 1 && this.memory > LEAST_MEMORY, "{this:?}");
    }
}
