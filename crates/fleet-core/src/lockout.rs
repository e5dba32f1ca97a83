//! Makes guessing passwords slow: after a few failures a user name waits, each time twice as long.
use chrono::{DateTime, TimeDelta, Utc};
use core_model::Backoff;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// When and for how long a user name must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutSettings {
    /// So many failures in a row are free.
    pub free_failures: u32,
    /// The waits after those.
    pub backoff: Backoff,
    /// So many user names are remembered; the one whose last failure is oldest is forgotten for a new one.
    pub remembered: usize,
}

impl Default for LockoutSettings {
    /// Five free failures, then 1 s doubling to one minute: too slow to guess, too short to lock an admin out for long.
    fn default() -> Self {
        Self {
            free_failures: 5,
            backoff: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(60),
            },
            remembered: 10_000,
        }
    }
}

/// Too many failures: not even the right password is looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// How long until the next attempt is looked at.
    pub retry_after: Duration,
}

struct Failures {
    count: u32,
    last: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// Counts failures for each user name, known or not. In memory: a restart forgives.
pub struct LoginGuard {
    settings: LockoutSettings,
    failures: Mutex<HashMap<String, Failures>>,
}

impl LoginGuard {
    /// With nothing seen.
    pub fn new(settings: LockoutSettings) -> Self {
        Self {
            settings,
            failures: Mutex::new(HashMap::new()),
        }
    }

    /// Begins an attempt, which counts as a failure until [`LoginGuard::succeeded`]: so that attempts in parallel
    /// cannot all slip through before the first has failed.
    ///
    /// # Errors
    /// While the user name must wait.
    pub fn begin(&self, user: &str, now: DateTime<Utc>) -> Result<(), Locked> {
        let mut failures = self.lock();
        if let Some(held) = failures.get(user)
            && let Ok(retry_after) = (held.until - now).to_std()
            && !retry_after.is_zero()
        {
            return Err(Locked { retry_after });
        }
        if !failures.contains_key(user) && failures.len() >= self.settings.remembered {
            forget_oldest(&mut failures);
        }
        let held = failures.entry(user.to_owned()).or_insert(Failures {
            count: 0,
            last: now,
            until: now,
        });
        held.count = held.count.saturating_add(1);
        held.last = now;
        if let Some(attempt) = held.count.checked_sub(self.settings.free_failures) {
            let wait = self.settings.backoff.ceiling(attempt);
            held.until = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX);
        }
        Ok(())
    }

    /// The password was right: the count starts anew.
    pub fn succeeded(&self, user: &str) {
        self.lock().remove(user);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_oldest(failures: &mut HashMap<String, Failures>) {
    let oldest = failures
        .iter()
        .min_by_key(|(_, held)| held.last)
        .map(|(user, _)| user.clone());
    if let Some(user) = oldest {
        failures.remove(&user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn the_wait_doubles_and_success_forgives() {
        let guard = LoginGuard::new(LockoutSettings::default());
        for _ in 0..5 {
            guard.begin("eve", at(0)).unwrap();
        }
        assert_eq!(
            guard.begin("eve", at(0)),
            Err(Locked {
                retry_after: Duration::from_secs(1)
            })
        );
        guard.begin("eve", at(1)).unwrap();
        assert_eq!(
            guard.begin("eve", at(1)),
            Err(Locked {
                retry_after: Duration::from_secs(2)
            })
        );
        guard.begin("adam", at(1)).unwrap();
        guard.begin("eve", at(3)).unwrap();
        guard.succeeded("eve");
        for _ in 0..5 {
            guard.begin("eve", at(3)).unwrap();
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let guard = LoginGuard::new(LockoutSettings {
            remembered: 3,
            ..LockoutSettings::default()
        });
        for n in 0..100 {
            guard.begin(&format!("user{n}"), at(n)).unwrap();
        }
        let held = guard.lock();
        assert_eq!(held.len(), 3);
        assert!(held.contains_key("user99"));
    }
}
