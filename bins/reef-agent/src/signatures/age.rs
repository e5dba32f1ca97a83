//! Signatures that get too old are told of once, and once more when they are fresh again.
use crate::keeper::ClamdState;
use chrono::{TimeDelta, Utc};
use std::time::Duration;
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

/// Signatures grow old without anything happening.
const LOOK: Duration = Duration::from_secs(15 * 60);

/// Says in the log when clamd's signatures are older than `max_age`, which is asked each time, until `stop`.
pub(crate) async fn watch_age(
    mut state: watch::Receiver<ClamdState>,
    max_age: impl Fn() -> Duration,
    stop: &CancellationToken,
) {
    let mut ageing = Ageing::default();
    loop {
        let age = state.borrow_and_update().database_age(Utc::now());
        let days = age.map(|age| age.num_days());
        match ageing.look(age, max_age()) {
            Some(News::TooOld) => tracing::error!(
                age_days = days,
                "clamd's signatures are older than `signatures.max_age`: new malware is not found; does freshclam run?"
            ),
            Some(News::FreshAgain) => tracing::info!(age_days = days, "clamd's signatures are fresh again"),
            None => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = state.changed() => if changed.is_err() { return },
            () = time::sleep(LOOK) => {}
        }
    }
}

#[derive(Debug, PartialEq)]
enum News {
    TooOld,
    FreshAgain,
}

/// What was told last.
#[derive(Default)]
struct Ageing {
    is_old: bool,
}

impl Ageing {
    /// What there is to tell. An age that is not known is no news: clamd may be away for a moment.
    fn look(&mut self, age: Option<TimeDelta>, max_age: Duration) -> Option<News> {
        let is_old = age?.to_std().is_ok_and(|age| age > max_age);
        let news = match (self.is_old, is_old) {
            (false, true) => Some(News::TooOld),
            (true, false) => Some(News::FreshAgain),
            _ => None,
        };
        self.is_old = is_old;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_news_once_until_it_is_no_longer() {
        let (week, mut ageing) = (Duration::from_secs(7 * 86_400), Ageing::default());
        let days = |days| Some(TimeDelta::days(days));
        assert_eq!(ageing.look(days(6), week), None);
        assert_eq!(ageing.look(days(8), week), Some(News::TooOld));
        assert_eq!(ageing.look(days(9), week), None);
        assert_eq!(ageing.look(None, week), None, "not known for a moment");
        assert_eq!(ageing.look(days(9), week), None);
        assert_eq!(ageing.look(days(0), week), Some(News::FreshAgain));
        assert_eq!(ageing.look(days(8), week), Some(News::TooOld));
    }
}
