//! The process in numbers, by the names that Prometheus' client libraries use ("Writing client libraries", process
//! metrics). What a platform does not tell is left out.

use std::fs;
use std::time::SystemTime;

use super::family::{Family, Value};

/// The families of this process, which began at `started`.
pub(super) fn families(started: SystemTime, version: &'static str) -> Vec<Family> {
    let since = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut families = vec![
        Family::gauge("openshell_gateway_build_info", "The gateway's version, as a label of the number 1.")
            .sample([("version", version)], Value::Integer(1)),
        Family::gauge("process_start_time_seconds", "When the process started, in seconds since 1970.")
            .value(Value::Number(since.as_secs_f64())),
    ];
    families.extend(resident_bytes().map(|bytes| {
        Family::gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.")
            .value(Value::Integer(bytes))
    }));
    families.extend(open_descriptors().map(|count| {
        Family::gauge("process_open_fds", "File descriptors that are open.").value(Value::Integer(count))
    }));
    families
}

/// `VmRSS` of proc_pid_status(5).
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn open_descriptors() -> Option<u64> {
    // The directory that is being read is one of them.
    u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_knows_itself() {
        let resident = resident_bytes().unwrap();
        assert!((1 << 18..1 << 36).contains(&resident), "{resident}");
        let before = open_descriptors().unwrap();
        assert!(before >= 3, "{before}");
        assert_eq!(families(SystemTime::now(), "1.2.3").len(), 4);
    }
}
