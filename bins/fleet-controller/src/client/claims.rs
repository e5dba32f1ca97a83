//! `fleet-controller claim` and `fleet-controller claims`.
use super::{PAGE, block_on, explain, for_each, print_one, session};
use crate::{cli::Output, cli_link::ClaimArgs};
use daemon_kit::{Exit, Table, printable};
use fleet_api::rest::{AcceptRequest, ClaimView, PageQuery};
use transport_http::HeaderMap;

pub(crate) fn claim(output: Output, args: &ClaimArgs) -> anyhow::Result<Exit> {
    let client = session::client()?;
    let request = AcceptRequest {
        code: args.code.clone(),
        name: args.name.clone(),
    };
    let claim: ClaimView = block_on(async {
        let accepted = client
            .post_json("/api/v1/claims/accept", &request, HeaderMap::new())
            .await;
        accepted.map_err(explain)
    })?;
    print_one(output, &claim, |claim| {
        let name = printable(claim.name.as_bytes()).into_owned();
        let host = printable(claim.hostname.as_bytes()).into_owned();
        format!("{name} on {host} is let in; it goes on by itself within half a minute\n")
    })?;
    Ok(Exit::Done)
}

pub(crate) fn claims(output: Output) -> anyhow::Result<Exit> {
    let client = session::client()?;
    let mut claims: Vec<ClaimView> = Vec::new();
    let set = |query: &mut PageQuery, cursor, limit: usize| {
        query.cursor = cursor;
        query.limit = Some(limit.min(PAGE));
    };
    let each = |claim| {
        claims.push(claim);
        Ok(true)
    };
    block_on(for_each(&client, "/api/v1/claims", PageQuery::default(), 0, set, each))?;
    match output {
        Output::Jsonl => claims
            .iter()
            .try_for_each(|claim| print_one(output, claim, |_| String::new()))?,
        _ => print_one(output, &claims, |claims| table(claims))?,
    }
    Ok(Exit::Done)
}

fn table(claims: &[ClaimView]) -> String {
    let mut table = Table::new(&["CODE", "STATE", "NAME", "KIND", "HOST", "FROM", "SINCE", "EXPIRES"]);
    for claim in claims {
        let text = |text: &str| printable(text.as_bytes()).into_owned();
        table.row([
            claim.code.clone(),
            super::agents::word(&claim.state),
            text(&claim.name),
            text(&claim.kind),
            text(&claim.hostname),
            text(&claim.network),
            super::agents::time(&claim.created_at),
            super::agents::time(&claim.expires_at),
        ]);
    }
    table.to_string()
}
