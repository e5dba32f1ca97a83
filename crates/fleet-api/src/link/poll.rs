//! A session by polling: the same messages, where no WebSocket passes.
use super::session::{Caller, Session, envelopes, hello_wanted, leaving};
use crate::{auth, error::ApiError, extract::Json, state::Shared};
use axum::{
    Extension, Json as Answer,
    extract::State,
    http::{Extensions, StatusCode},
};
use chrono::{DateTime, Utc};
use fleet_core::{AgentIdentity, Store, Transport};
use fleet_wire::link::{AgentMessage, ControllerMessage, ErrorMessage, PollRequest, PollResponse};

/// Messages of one request.
const MOST: usize = 256;

/// `POST /api/v1/agents/me/messages`.
pub(crate) async fn messages<S: Store>(
    State(shared): State<Shared<S>>,
    Extension(agent): Extension<AgentIdentity>,
    extensions: Extensions,
    Json(request): Json<PollRequest>,
) -> Result<Answer<PollResponse>, ApiError> {
    if request.messages.len() > MOST {
        let detail = format!("a request brings up to {MOST} messages");
        return Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_many_messages",
            detail,
        ));
    }
    let caller = Caller {
        agent,
        transport: Transport::Polling,
        remote: auth::peer(&extensions).to_string(),
    };
    let now = Utc::now();
    let too_many = |wait| ApiError::too_many(wait, "too many requests of this agent; poll as often as you are told");
    shared.messages.pass_one(caller.agent.id, now).map_err(too_many)?;
    let (messages, has_more) = answer(&shared, caller, request, now).await?;
    let poll_after = shared.links.settings().poll_after.as_secs();
    Ok(Answer(PollResponse {
        messages: envelopes(&messages, now),
        poll_after_secs: if has_more {
            1
        } else {
            u32::try_from(poll_after).unwrap_or(u32::MAX)
        },
    }))
}

async fn answer<S: Store>(
    shared: &Shared<S>,
    caller: Caller,
    request: PollRequest,
    now: DateTime<Utc>,
) -> Result<(Vec<ControllerMessage>, bool), ApiError> {
    let settings = shared.links.settings();
    if shared.links.is_leaving() {
        return Ok((vec![leaving(&settings)], false));
    }
    let mut incoming = request.messages.iter().peekable();
    let is_hello = |envelope: &&fleet_wire::link::Envelope| {
        AgentMessage::TYPES
            .first()
            .is_some_and(|(hello, _)| envelope.kind == *hello)
    };
    let (session, mut answers) = if let Some(first) = incoming.next_if(is_hello) {
        // As on a socket: many at a time would only wait for one another.
        let _turn = shared.links.turn().await;
        match Session::begin(&shared.fleet, settings, caller, first, now).await {
            Ok((session, welcome)) => (session, welcome.messages),
            Err(refused) => return Ok((refused.messages, false)),
        }
    } else {
        let known = shared.fleet.store().polling_session(caller.agent.id).await?;
        let Some(epoch) = request.epoch.or(known) else {
            let wanted = incoming.peek().map_or_else(no_session, |first| hello_wanted(first));
            return Ok((vec![wanted], false));
        };
        let session = Session::resume(&shared.fleet, settings, caller.agent, epoch);
        let alive = session.alive(now).await?;
        if alive.is_end {
            return Ok((alive.messages, false));
        }
        (session, alive.messages)
    };
    for envelope in incoming {
        let step = session.receive(envelope, now).await;
        answers.extend(step.messages);
        if step.is_end {
            return Ok((answers, false));
        }
    }
    let step = session.outgoing(now).await?;
    answers.extend(step.messages);
    Ok((answers, step.has_more))
}

fn no_session() -> ControllerMessage {
    ControllerMessage::Error(ErrorMessage {
        code: "hello_wanted".to_owned(),
        detail: "a session begins with HELLO".to_owned(),
        about: None,
    })
}
