//! What the process takes of the machine.

/// Resident memory in bytes, where the platform tells.
pub(super) fn resident_bytes() -> Option<u64> {
    memory_stats::memory_stats().map(|stats| stats.physical_mem as u64)
}

/// Threads of the process now, where the platform tells.
#[cfg(target_os = "linux")]
pub(super) fn threads() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))?
        .trim()
        .parse()
        .ok()
}

/// Threads of the process now, where the platform tells.
#[cfg(not(target_os = "linux"))]
pub(super) fn threads() -> Option<u64> {
    None
}
