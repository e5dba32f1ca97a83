//! `fleet-controller join-tokens`.
use super::{PAGE, block_on, explain, for_each, print_one, session};
use crate::cli::{JoinTokensCommand, Output};
use daemon_kit::{Exit, Table, printable};
use fleet_api::rest::{JoinTokenCreated, JoinTokenRequest, JoinTokenView, PageQuery};
use transport_http::HeaderMap;

pub(crate) fn join_tokens(output: Output, command: &JoinTokensCommand) -> anyhow::Result<Exit> {
    let client = session::client()?;
    match command {
        JoinTokensCommand::Create { name, ttl, uses } => {
            let request = JoinTokenRequest {
                name: name.clone(),
                ttl_secs: ttl.get().as_secs(),
                max_uses: *uses,
            };
            let created: JoinTokenCreated = block_on(async {
                client
                    .post_json("/api/v1/join-tokens", &request, HeaderMap::new())
                    .await
                    .map_err(explain)
            })?;
            print_one(output, &created, |created| {
                let until = created.expires_at.format("%Y-%m-%dT%H:%M:%SZ");
                format!(
                    "{}\n\nGood for {uses} enrolments until {until}; it is shown only now. On the agent's host:\n  \
                     SCANNER_JOIN_TOKEN=… scanner run --once\nor\n  \
                     REEF_JOIN_TOKEN=… reef-agent run\n",
                    created.token.reveal()
                )
            })?;
        }
        JoinTokensCommand::List => {
            let mut tokens: Vec<JoinTokenView> = Vec::new();
            let set = |query: &mut PageQuery, cursor, limit: usize| {
                query.cursor = cursor;
                query.limit = Some(limit.min(PAGE));
            };
            let each = |token| {
                tokens.push(token);
                Ok(true)
            };
            block_on(for_each(
                &client,
                "/api/v1/join-tokens",
                PageQuery::default(),
                0,
                set,
                each,
            ))?;
            match output {
                Output::Jsonl => tokens
                    .iter()
                    .try_for_each(|token| print_one(output, token, |_| String::new()))?,
                _ => print_one(output, &tokens, |tokens| table(tokens))?,
            }
        }
        JoinTokensCommand::Revoke { id } => {
            let path = format!("/api/v1/join-tokens/{}", super::files::encoded(id));
            block_on(async { client.delete(&path).await.map_err(explain) })?;
            eprintln!("revoked; agents that enrolled with it stay");
        }
    }
    Ok(Exit::Done)
}

fn table(tokens: &[JoinTokenView]) -> String {
    let mut table = Table::new(&["ID", "NAME", "STATE", "USES LEFT", "EXPIRES", "BY"]).right(3);
    for token in tokens {
        let state = serde_json::to_value(token.state).ok();
        table.row([
            token.id.to_string(),
            printable(token.name.as_bytes()).into_owned(),
            state
                .and_then(|state| state.as_str().map(str::to_owned))
                .unwrap_or_default(),
            format!("{}/{}", token.uses_left, token.max_uses),
            token.expires_at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            token.created_by.clone(),
        ]);
    }
    table.to_string()
}
