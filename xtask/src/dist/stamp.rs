//! What makes two builds of one commit the same: one time, and no names of folders of the machine that builds.
use crate::process;
use anyhow::{Context, Result};
use std::process::Command;

/// The one time that everything of a build carries.
pub(super) struct Stamp {
    /// In seconds since 1970.
    pub(super) epoch: u64,
}

impl Stamp {
    /// `SOURCE_DATE_EPOCH`, else the time of the last commit.
    pub(super) fn of_this_commit() -> Result<Self> {
        let text = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => text,
            Err(_) => {
                let mut git = Command::new("git");
                git.args(["log", "-1", "--format=%ct"]).current_dir(process::root());
                process::output(git).context("no commit to take the time from: set SOURCE_DATE_EPOCH")?
            }
        };
        let epoch = text.trim().parse();
        Ok(Self {
            epoch: epoch.with_context(|| format!("{text:?} is no number of seconds since 1970"))?,
        })
    }

    /// RFC 3339, in UTC.
    pub(super) fn text(&self) -> String {
        let (days, second) = (self.epoch / 86_400, self.epoch % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The date so many days after 1970-01-01. Years begin in March here, so that a leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Flags that put short names in the place of this machine's folders, which panics would otherwise carry.
pub(super) fn without_folders() -> Result<String> {
    let mut flags: Vec<String> = std::env::var("RUSTFLAGS").into_iter().collect();
    flags.push(format!("--remap-path-prefix={}=/shoal", process::root().display()));
    let home = std::env::var("CARGO_HOME").map(std::path::PathBuf::from);
    let home = home.or_else(|_| std::env::var("HOME").map(|home| std::path::Path::new(&home).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    Ok(flags.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (epoch, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Stamp { epoch }.text(), text);
        }
    }
}
