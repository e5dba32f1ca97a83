//! What this process uses, read from `/proc/self`.

/// A reading of this process's use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessSample {
    /// Memory held, in bytes.
    pub resident_bytes: u64,
    /// Processor time used since the start, in user and system mode, in seconds.
    pub cpu_seconds: f64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Calls that read and that wrote since the start, on files and all else; `None` where this process may not see them.
    pub io_calls: Option<(u64, u64)>,
}

/// Reads this process's use; `None` where the system has no `/proc` (anything but Linux).
pub fn process_sample() -> Option<ProcessSample> {
    #[cfg(target_os = "linux")]
    {
        use std::fs;
        let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Some(ProcessSample {
            resident_bytes: resident(&fs::read_to_string("/proc/self/status").ok()?)?,
            cpu_seconds: cpu(&fs::read_to_string("/proc/self/stat").ok()?)?,
            // One of them was opened to count them.
            open_fds: open.saturating_sub(1),
            io_calls: fs::read_to_string("/proc/self/io").ok().and_then(|io| io_calls(&io)),
        })
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// `VmRSS` of `/proc/PID/status`, which is in KiB.
#[cfg(any(target_os = "linux", test))]
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// `utime` and `stime`, the 14th and 15th fields of `/proc/PID/stat`.
#[cfg(any(target_os = "linux", test))]
fn cpu(stat: &str) -> Option<f64> {
    /// Linux shows user space 100 ticks a second on every machine that we build for, whatever the kernel's own rate.
    const TICKS: f64 = 100.0;
    // The second field is the name, which may hold spaces and parentheses itself.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS)
}

/// `syscr` and `syscw` of `/proc/PID/io`.
#[cfg(any(target_os = "linux", test))]
fn io_calls(io: &str) -> Option<(u64, u64)> {
    let of = |name: &str| io.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok();
    Some((of("syscr:")?, of("syscw:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_read_and_wrote_are_found() {
        let io = "rchar: 3980\nwchar: 12\nsyscr: 9\nsyscw: 2\nread_bytes: 0\nwrite_bytes: 0\n";
        assert_eq!(io_calls(io), Some((9, 2)));
        assert_eq!(io_calls("rchar: 1\n"), None);
    }

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2 << 20));
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1";
        assert_eq!(cpu(stat), Some(3.0));
        assert_eq!((resident("Name:\tx\n"), cpu("42 (a")), (None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_seen() {
        let before = process_sample().unwrap();
        let held: Vec<_> = (0..3)
            .map(|_| std::fs::File::open("/proc/self/stat").unwrap())
            .collect();
        assert!(
            before.resident_bytes > 100_000 && before.cpu_seconds >= 0.0 && before.open_fds > 0,
            "{before:?}"
        );
        assert!(process_sample().unwrap().open_fds > 0);
        drop(held);
    }
}
