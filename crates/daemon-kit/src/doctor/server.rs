//! Whether the server can be reached, step by step, so that the first step that fails is named.

use crate::{
    doctor::{Finding, Verdict, process::PROXIES, resolve},
    settings::{Dialect, ServerSettings, is_loopback},
    surroundings::Surroundings,
};
use core_model::chain;
use serde_json::Value;
use std::{
    error::Error,
    time::{Duration, SystemTime},
};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientSettings, Method, Request, Response, SendError, header};
use url::Url;

const CERTIFICATE: &str = "server certificate";
const ANSWER: &str = "server answer";
const CLOCK: &str = "clock";

/// The longest that one step may take: somebody waits at a terminal.
const STEP: Duration = Duration::from_secs(10);

/// Whether the server can be reached: its name, a connection, its certificate, its answer to `GET /health`, and how far
/// this machine's clock is from its `Date`, at most `largest_skew`. A step that an earlier one prevents is skipped. The
/// key is not sent.
pub async fn server(settings: &ServerSettings, around: &Surroundings, largest_skew: Duration) -> Vec<Finding> {
    const CHECK: &str = "server";
    if settings.base_url.is_none() {
        return vec![Finding::skipped(
            CHECK,
            "`server.base_url` is not set: the agent works alone",
        )];
    }
    let Some(mut client) = settings.client_settings() else {
        let remedy = "run `config check`, and write `server.base_url` as `https://fleet.example.com`";
        return vec![Finding::failure(
            CHECK,
            "its settings hold an address that cannot be read",
            remedy,
        )];
    };
    client.api_key = None;
    client.retry_attempts = 0;
    client.connect_timeout = client.connect_timeout.min(STEP);
    client.timeout = client.timeout.min(STEP);
    let url = client.base_url.clone();
    let mut findings = way(&client, around).await;
    let is_blocked = findings.iter().any(|finding| finding.verdict == Verdict::Failure);
    if is_blocked {
        let why = "the server cannot be reached";
        findings.extend([CERTIFICATE, ANSWER, CLOCK].map(|check| Finding::skipped(check, why)));
        return findings;
    }
    let client = match Client::new(client) {
        Ok(client) => client,
        Err(error) => {
            let remedy = "correct the section `server` of the configuration";
            findings.push(Finding::failure(CHECK, chain(&error), remedy));
            return findings;
        }
    };
    let before = SystemTime::now();
    let answer = client
        .send(Request::new(Method::GET, "/health"), &CancellationToken::new())
        .await;
    findings.push(certificate(&url, answer.as_ref().err()));
    findings.push(of_answer(&url, answer.as_ref(), settings.dialect));
    findings.push(clock(answer.as_ref().ok(), before, largest_skew));
    findings
}

/// Name and connection, where no proxy stands between.
async fn way(client: &ClientSettings, around: &Surroundings) -> Vec<Finding> {
    let checks = ["server name", "server connection"];
    let url = &client.base_url;
    let proxy = PROXIES.iter().find(|name| around.variable(name).is_some());
    let by_variable = proxy.filter(|_| !is_loopback(url)).copied();
    if let Some(who) = client.proxy.as_ref().map(|_| "server.proxy").or(by_variable) {
        let why = format!("`{who}` names a proxy, which finds the server itself");
        return checks.map(|check| Finding::skipped(check, why.clone())).into();
    }
    let Some((host, port)) = resolve::target(url) else {
        let remedy = "write `server.base_url` as `https://fleet.example.com`";
        return vec![Finding::failure(checks[0], "the address names no host", remedy)];
    };
    let (name, addresses) = resolve::name(&host, port, client.connect_timeout).await;
    let connection = if addresses.is_empty() {
        Finding::skipped(checks[1], "the server has no address")
    } else {
        resolve::connection(&addresses, client.connect_timeout).await
    };
    vec![name, connection]
}

fn certificate(url: &Url, error: Option<&SendError>) -> Finding {
    if url.scheme() != "https" {
        return Finding::skipped(CERTIFICATE, "the address is plain HTTP");
    }
    match error {
        Some(error @ SendError::Certificate { source, .. }) if is_about_certificate(source) => Finding::failure(
            CERTIFICATE,
            chain(error),
            "if a private authority issued it, name that authority's file in `server.ca_file`; if it is out of date, \
             renew it at the server or set this machine's clock; if it is for another name, use that name in \
             `server.base_url`",
        ),
        Some(SendError::Certificate { source: error, .. } | SendError::Connect { source: error, .. }) => {
            no_handshake(error)
        }
        Some(error @ SendError::ConnectTimeout { .. }) => no_handshake(error),
        _ => Finding::ok(CERTIFICATE, "trusted, and for this name"),
    }
}

/// A peer that speaks no TLS at all ends in an error of TLS too; only rustls' words tell the two apart.
fn is_about_certificate(error: &dyn Error) -> bool {
    chain(error).contains("certificate")
}

fn no_handshake(error: &dyn Error) -> Finding {
    Finding::failure(
        CERTIFICATE,
        format!("no TLS connection came about: {}", chain(error)),
        "see that the port of `server.base_url` is that of HTTPS, and that a proxy before it, where there is one, can be \
         reached; for plain HTTP in a trusted network write `http://` and `allow_http`",
    )
}

fn of_answer(url: &Url, answer: Result<&Response, &SendError>, dialect: Dialect) -> Finding {
    let error = match answer {
        Ok(response) => return Finding::ok(ANSWER, told(response)),
        Err(error) => error,
    };
    let found = chain(error);
    let remedy = match error {
        SendError::Connect { .. } | SendError::ConnectTimeout { .. } | SendError::Certificate { .. }
            if url.scheme() == "https" =>
        {
            return Finding::skipped(ANSWER, "no connection to ask over");
        }
        SendError::Connect { .. } | SendError::ConnectTimeout { .. } => {
            "see that the server, and the proxy before it where there is one, can be reached"
        }
        // It answers, in HTTP, and that is what this is about: another server may well have no such path.
        SendError::Refused { status, .. } if dialect == Dialect::FilesV1 || status.as_u16() != 404 => {
            return Finding::ok(ANSWER, format!("it answers; /health: {status}"));
        }
        SendError::Refused { .. } => {
            let remedy = "see that `server.base_url` is the address of a fleet controller, without a path; for a \
                          server of the file-scanner document write `server.dialect: files-v1`";
            return Finding::warning(ANSWER, found, remedy);
        }
        SendError::NotHttp { .. } => {
            "see that the port of `server.base_url` is the server's, and whether it wants https"
        }
        SendError::Redirected { .. } => "make the address that it points to `server.base_url`",
        SendError::Timeout { .. } | SendError::Interrupted { .. } => {
            "see the server's log and load, and what proxies stand between"
        }
        SendError::Failed { .. } => "see the server's log and its `/health`",
        _ => "see the section `server` of the configuration",
    };
    Finding::failure(ANSWER, found, remedy)
}

/// What a server says of itself in its health document; what it is not sure to be is left out.
fn told(response: &Response) -> String {
    let document: Value = response.json().unwrap_or_default();
    let word = |key: &str| {
        let text = document.get(key).and_then(Value::as_str);
        text.map(|text| crate::printable(text.as_bytes()).chars().take(40).collect::<String>())
    };
    let mut told = format!("/health: {}", response.status);
    for (key, label) in [("status", ""), ("version", "version ")] {
        if let Some(word) = word(key) {
            told.push_str(&format!(", {label}{word}"));
        }
    }
    told
}

/// `Date` has whole seconds, and the answer was made at some time since `before`.
fn clock(answer: Option<&Response>, before: SystemTime, largest: Duration) -> Finding {
    let Some(response) = answer else {
        return Finding::skipped(CLOCK, "no answer to compare with");
    };
    let date = response.headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let Some(theirs) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else {
        return Finding::skipped(CLOCK, "the server's answer has no date");
    };
    let (is_ahead, skew) = skew(theirs, before, SystemTime::now());
    let found = match (skew.as_secs(), is_ahead) {
        (0, _) => return Finding::ok(CLOCK, "as the server's"),
        (seconds, true) => format!("{seconds} s ahead of the server's"),
        (seconds, false) => format!("{seconds} s behind the server's"),
    };
    if skew <= largest {
        return Finding::ok(CLOCK, found);
    }
    let remedy = "see which of the two is wrong (`timedatectl`) and have it follow a time server; certificates and time \
                  stamps are judged by it";
    Finding::warning(
        CLOCK,
        format!("{found}; at most {} s are in order", largest.as_secs()),
        remedy,
    )
}

/// How far this machine, which asked at `before` and was answered by `after`, is from `theirs`, and whether ahead of it.
fn skew(theirs: SystemTime, before: SystemTime, after: SystemTime) -> (bool, Duration) {
    let theirs_end = theirs + Duration::from_secs(1);
    if let Ok(ahead) = before.duration_since(theirs_end) {
        return (true, ahead);
    }
    (false, theirs.duration_since(after).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_whole_seconds_is_no_skew() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let check = |theirs, before, after, expected: (bool, u64)| {
            let (is_ahead, skew) = skew(at(theirs), at(before), at(after));
            assert_eq!((is_ahead, skew.as_millis()), (expected.0, u128::from(expected.1)));
        };
        check(5_000, 5_900, 5_950, (false, 0));
        check(5_000, 4_000, 5_100, (false, 0));
        check(5_000, 66_500, 66_600, (true, 60_500));
        check(65_000, 4_000, 5_000, (false, 60_000));
    }
}
