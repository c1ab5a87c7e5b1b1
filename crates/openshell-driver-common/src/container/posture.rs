//! The numbers and words of the posture that every container is given, whatever engine makes it.

/// How many processes and threads a sandbox may have where nobody says less.
pub const PIDS_LIMIT: i64 = 2048;
/// The largest number of processes that a kernel takes.
pub const PIDS_MOST: i64 = 4_194_304;
/// Every capability, which is dropped before any is given back.
pub const ALL_CAPABILITIES: &str = "ALL";
/// How many seconds a main process has between `SIGTERM` and `SIGKILL`.
pub const STOP_TIMEOUT: i32 = 10;
/// How many bytes all file systems in memory of one sandbox may hold together.
pub const TMPFS_MAX: i64 = 1 << 30;

/// Whether a kernel and a resolver take a text as the name of a host.
#[must_use]
pub fn is_host_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_no_host_s() {
        for name in ["", "-a", "a-", "a.b", "ü", &"x".repeat(64)] {
            assert!(!is_host_name(name), "{name}");
        }
        assert!(is_host_name("my-box-1"));
    }
}
