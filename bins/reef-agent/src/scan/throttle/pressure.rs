//! What the kernel says of tasks that wait: `/proc/pressure`.
use std::{fs, path::Path};

/// In which share of the last ten seconds some task waited, in percent. 0 where the kernel does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pressure {
    /// For a processor.
    pub(super) cpu: f64,
    /// For storage.
    pub(super) io: f64,
    /// For memory.
    pub(super) memory: f64,
}

impl Pressure {
    /// Now, from the files in `directory`. They lie in memory: reading them does not block.
    pub(super) fn read(directory: &Path) -> Self {
        let of = |name| {
            let text = fs::read_to_string(directory.join(name)).ok();
            text.as_deref().and_then(some_avg10).unwrap_or_default()
        };
        Self {
            cpu: of("cpu"),
            io: of("io"),
            memory: of("memory"),
        }
    }
}

/// Of `some avg10=1.53 avg60=0.87 avg300=0.73 total=229370512`.
fn some_avg10(text: &str) -> Option<f64> {
    let mut words = text.lines().find(|line| line.starts_with("some "))?.split(' ');
    let number = words.find_map(|word| word.strip_prefix("avg10="))?;
    number.parse().ok().filter(|share: &f64| share.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_wrote_is_read_and_what_it_does_not_say_is_no_pressure() {
        let text =
            "some avg10=1.53 avg60=0.87 avg300=0.73 total=229370512\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=1\n";
        assert_eq!(some_avg10(text), Some(1.53));
        for broken in ["", "some", "some avg10=", "some avg10=NaN", "full avg10=1.00"] {
            assert_eq!(some_avg10(broken), None, "{broken}");
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("io"), text).unwrap();
        let read = Pressure::read(directory.path());
        assert_eq!((read.cpu, read.io, read.memory), (0.0, 1.53, 0.0));
    }
}
