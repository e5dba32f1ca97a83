//! When each rule is due, and what is scanned next.
use crate::{
    keeper::ClamdState,
    orders::Asked,
    parts::Parts,
    scan::{How, Progress, Wanted, was_blind},
    settings::{Live, RuleSettings},
    state::scans,
};
use chrono::{DateTime, Utc};
use daemon_kit::{Timing, blocking};
use fleet_wire::ScanCause;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// A scan that is to be made.
pub(crate) struct Next {
    /// What of.
    pub(crate) wanted: Wanted,
    /// And how.
    pub(crate) how: How,
    /// Why.
    pub(crate) cause: ScanCause,
    /// The span of whoever wants it.
    pub(crate) span: Span,
    /// Who looks at it sees how far it is.
    pub(crate) progress: Arc<Progress>,
    /// Stops it.
    pub(crate) cancel: CancellationToken,
    /// The rule whose schedule it is of.
    pub(crate) timing: Option<String>,
    /// Who asked for it.
    pub(crate) asked: Option<Asked>,
}

/// When each rule is due.
#[derive(Default)]
pub(crate) struct Agenda {
    /// Of each rule.
    pub(crate) rules: BTreeMap<String, Timing>,
    /// Rules that go first as soon as clamd is there: their scan was cut off when the agent ended, or found no clamd.
    pub(crate) first: Vec<(String, ScanCause)>,
    /// When each rule's last scan ended, of those during which clamd did not detect: they are due when it does.
    pub(crate) blind: BTreeMap<String, DateTime<Utc>>,
    is_begun: bool,
}

impl Next {
    /// What somebody asked for.
    pub(crate) fn of_asked(asked: Asked) -> Self {
        Self {
            wanted: asked.wanted.clone(),
            how: asked.how.clone(),
            cause: asked.cause,
            span: asked.span.clone(),
            progress: Arc::clone(&asked.progress),
            cancel: asked.cancel.clone(),
            timing: None,
            asked: Some(asked),
        }
    }

    /// What a rule says.
    pub(crate) fn of_rule(rule: &RuleSettings, cause: ScanCause) -> Self {
        Self {
            wanted: Wanted::of(rule),
            how: How::default(),
            cause,
            span: Span::current(),
            progress: Arc::default(),
            cancel: CancellationToken::new(),
            timing: Some(rule.name.clone()),
            asked: None,
        }
    }
}

impl Agenda {
    /// Goes by the rules there are now.
    pub(crate) async fn follow(&mut self, parts: &Parts, live: &Live) -> anyhow::Result<()> {
        let is_there = |name: &str| live.rules.iter().any(|rule| rule.name == name);
        self.rules.retain(|name, _| is_there(name));
        self.first.retain(|(name, _)| is_there(name));
        self.blind.retain(|name, _| is_there(name));
        for rule in &live.rules {
            if self.rules.contains_key(&rule.name) {
                continue;
            }
            let (database, name, is_begun) = (parts.state.database.clone(), rule.name.clone(), self.is_begun);
            let (last, is_cut_off, before, blind) = blocking(move || {
                let now = Utc::now();
                let since = scans::known_since(&database, &name, now).unwrap_or_else(|error| {
                    tracing::error!(error = format!("{error:#}"), "its first time counts from now");
                    now
                });
                let newest = scans::newest(&database, &name)?;
                let is_cut_off = !is_begun && newest.as_ref().is_some_and(|scan| scan.ended.is_none());
                let before = scans::last(&database, &name)?;
                let last = newest.as_ref().map_or(since, |scan| scan.started_at);
                let ended = newest.and_then(|scan| scan.ended);
                let blind = ended.filter(was_blind);
                Ok((last, is_cut_off, before, blind.map(|scan| scan.ended_at)))
            })
            .await?;
            parts.health.scanned_before(&before);
            if is_cut_off {
                self.first.push((rule.name.clone(), ScanCause::Resume));
            }
            if let Some(ended) = blind {
                self.blind.insert(rule.name.clone(), ended);
            }
            let timing = rule.timing(&parts.context.agent_name(), last);
            self.rules.insert(rule.name.clone(), timing);
        }
        self.is_begun = true;
        Ok(())
    }

    /// Whether a rule can be scanned that waits for clamd: to be there, or to detect after a scan in which it did not.
    pub(crate) fn is_woken(&self, clamd: &ClamdState) -> bool {
        let sees_again = |ended: &DateTime<Utc>| clamd.detects_since(*ended);
        (clamd.is_up() && !self.first.is_empty()) || self.blind.values().any(sees_again)
    }

    /// What was scanned while clamd did not detect goes first, once it does.
    pub(crate) fn look_again(&mut self, clamd: &ClamdState) {
        let again = self.blind.extract_if(.., |_, ended| clamd.detects_since(*ended));
        for (rule, _) in again {
            if !self.first.iter().any(|(name, _)| *name == rule) {
                tracing::info!(
                    rule,
                    "clamd detects again: what it did not detect then is scanned again"
                );
                self.first.push((rule, ScanCause::CatchUp));
            }
        }
    }

    /// The rule that is due, the one of the highest priority first.
    pub(crate) fn due(&mut self, live: &Live, has_clamd: bool, now: DateTime<Utc>) -> Option<Next> {
        let mut rules: Vec<&RuleSettings> = live.rules.iter().collect();
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        for rule in rules.iter().filter(|_| has_clamd) {
            if let Some(at) = self.first.iter().position(|(name, _)| *name == rule.name) {
                let (_, cause) = self.first.remove(at);
                return Some(Next::of_rule(rule, cause));
            }
        }
        for rule in rules {
            let timing = self.rules.get_mut(&rule.name)?;
            if timing.is_due(&rule.schedule, None, now) {
                return Some(Next::of_rule(rule, ScanCause::Schedule));
            }
        }
        None
    }

    /// How long nothing is due, as far as is known now.
    pub(crate) fn rest(&self, live: &Live, now: DateTime<Utc>) -> Duration {
        let rests = live.rules.iter().filter_map(|rule| {
            let timing = self.rules.get(&rule.name)?;
            Some(timing.rest(None, now))
        });
        rests.min().unwrap_or(Duration::MAX)
    }

    /// Whether the schedule of the rule that is gone through wants it cancelled for the next one.
    pub(crate) fn wants_cancel(&mut self, live: &Live, rule: Option<&str>, now: DateTime<Utc>) -> bool {
        let rule = rule.and_then(|name| live.rules.iter().find(|rule| rule.name == name));
        rule.and_then(|rule| Some((self.rules.get_mut(&rule.name)?, rule)))
            .is_some_and(|(timing, rule)| timing.wants_cancel(&rule.schedule, now))
    }

    /// Tells when each rule is due next. Not told while another one is gone through, so it lies in the past then.
    pub(crate) fn tell(&self, parts: &Parts, live: &Live, now: DateTime<Utc>) {
        for rule in &live.rules {
            let timing = self.rules.get(&rule.name).filter(|_| rule.schedule.when.is_some());
            let due = timing.and_then(|timing| timing.next(None, now));
            parts.health.metrics.scan_due(&rule.name, due);
        }
    }
}
