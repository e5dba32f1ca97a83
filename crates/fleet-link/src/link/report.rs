//! How commands ended, in the words of the wire.
use super::verb::{AfterRestartDecision, CommandError};
use chrono::{DateTime, SecondsFormat, Utc};
use core_model::{ByteSize, CommandId};
use fleet_wire::link::{CommandReport, Outcome};
use serde_json::Value;

fn report(command: CommandId, outcome: Outcome, code: Option<&str>, detail: impl Into<String>) -> CommandReport {
    CommandReport {
        command,
        outcome,
        code: code.map(str::to_owned),
        detail: detail.into(),
        body: Value::Null,
        started_at: None,
        ended_at: Utc::now(),
    }
}

pub(super) fn expired(command: CommandId, deadline: DateTime<Utc>) -> CommandReport {
    let deadline = deadline.to_rfc3339_opts(SecondsFormat::Secs, true);
    let detail = format!("it could not be begun by {deadline}");
    report(command, Outcome::Expired, Some("deadline_passed"), detail)
}

/// What a verb that was stopped at its deadline had done until then.
pub(super) fn overdue(command: CommandId, started_at: DateTime<Utc>, body: Value, max_body: ByteSize) -> CommandReport {
    let detail = "it was stopped at its deadline";
    let made = CommandReport {
        body,
        started_at: Some(started_at),
        ..report(command, Outcome::Failed, Some("deadline_passed"), detail)
    };
    within(made, max_body.bytes())
}

pub(super) fn cancelled_before_it_began(command: CommandId) -> CommandReport {
    let detail = "it was cancelled before it began";
    report(command, Outcome::Cancelled, Some("not_begun"), detail)
}

pub(super) fn unknown_verb(command: CommandId, verb: &str, known: &[String]) -> CommandReport {
    let detail = format!("this agent does not know `{verb}`; it knows: {}", known.join(", "));
    report(command, Outcome::Failed, Some("unknown_verb"), detail)
}

pub(super) fn damaged(command: CommandId) -> CommandReport {
    let detail = "the disk of the agent damaged its entry in the journal";
    report(command, Outcome::Unknown, Some("journal_damaged"), detail)
}

pub(super) fn interrupted(command: CommandId, started_at: Option<DateTime<Utc>>) -> CommandReport {
    let detail = "the agent ended while it ran, and cannot tell how far it came";
    CommandReport {
        started_at,
        ..report(command, Outcome::Unknown, Some("interrupted"), detail)
    }
}

pub(super) fn panicked(command: CommandId, started_at: DateTime<Utc>) -> CommandReport {
    let detail = "the agent met a fault of its own while it ran; its log says more";
    CommandReport {
        started_at: Some(started_at),
        ..report(command, Outcome::Failed, Some("panicked"), detail)
    }
}

/// Of what a handler gave back.
pub(super) fn ended(
    command: CommandId,
    started_at: DateTime<Utc>,
    result: Result<Value, CommandError>,
    max_body: ByteSize,
) -> CommandReport {
    let (outcome, code, detail, body) = match result {
        Ok(body) => (Outcome::Done, None, String::new(), body),
        Err(CommandError::Failed { code, detail, body }) => (Outcome::Failed, Some(code), detail, body),
        Err(CommandError::Cancelled { body }) => (Outcome::Cancelled, None, String::new(), body),
    };
    let made = CommandReport {
        command,
        outcome,
        code,
        detail,
        body,
        started_at: Some(started_at),
        ended_at: Utc::now(),
    };
    within(made, max_body.bytes())
}

/// Of what a verb decided after a restart; `None` where it is to run again.
pub(super) fn decided(
    command: CommandId,
    started_at: DateTime<Utc>,
    decision: AfterRestartDecision,
    max_body: ByteSize,
) -> Option<CommandReport> {
    let result = match decision {
        AfterRestartDecision::RunAgain => return None,
        AfterRestartDecision::Unknown => return Some(interrupted(command, Some(started_at))),
        AfterRestartDecision::Done(body) => Ok(body),
        AfterRestartDecision::Failed(error) => Err(error),
    };
    Some(ended(command, started_at, result, max_body))
}

/// The same report, without its body where that is longer than `max` bytes of JSON: how a command ended is worth more
/// than what it brought.
pub(super) fn within(mut report: CommandReport, max: u64) -> CommandReport {
    let bytes = serde_json::to_vec(&report.body).map_or(0, |body| body.len() as u64);
    if bytes > max {
        report.body = Value::Null;
        let note = format!("its result of {bytes} bytes is left out: at most {max} travel");
        report.detail = if report.detail.is_empty() {
            note
        } else {
            format!("{}; {note}", report.detail)
        };
    }
    report
}
