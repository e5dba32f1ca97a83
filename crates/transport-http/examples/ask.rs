//! Gets a JSON document by the client's rules and shows what the client saw:
//! `cargo run -p transport-http --example ask -- https://example.org /health`.
use serde_json::Value;
use std::{env, error::Error};
use tokio_util::sync::CancellationToken;
use transport_http::{Client, ClientSettings, Method, Request};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [server, path] = arguments.as_slice() else {
        return Err("expected a server and a path, such as `http://127.0.0.1:7604 /health`".into());
    };
    let client = Client::new(ClientSettings {
        retry_attempts: 2,
        ..ClientSettings::new(server.parse()?)
    })?;
    let stop = CancellationToken::new();
    let answer = client.send(Request::new(Method::GET, path.as_str()), &stop).await;
    println!("{:#?}", client.stats());
    println!("{:#}", answer?.json::<Value>()?);
    Ok(())
}
