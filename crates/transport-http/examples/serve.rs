//! Serves health and metrics for half a minute: `cargo run -p transport-http --example serve -- 127.0.0.1:7604`, over
//! HTTPS with `… server.pem server.key` after it.
use serde_json::{Map, json};
use std::{env, error::Error, time::Duration};
use tokio_util::sync::CancellationToken;
use transport_http::{
    HealthOptions, HealthRegistry, Server, ServerTls, Status, TlsFiles, health_routes, metrics_route,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let mut server = Server::bind(address.parse()?)?;
    if let (Some(certificate), Some(key)) = (env::args().nth(2), env::args().nth(3)) {
        let tls = ServerTls::from_files(&TlsFiles {
            certificate: certificate.into(),
            key: key.into(),
            ..TlsFiles::default()
        })?;
        println!("TLS until {:?}", tls.expires_at());
        server = server.with_tls(tls);
    }
    println!("{}/health", server.local_addr());

    let health = HealthRegistry::new(env!("CARGO_PKG_VERSION"), None);
    let details = Map::from_iter([("size_mb".to_owned(), json!(15.2))]);
    health.component("database").set(Status::Healthy, details);
    health.set_ready(true);
    let router = health_routes(health, &HealthOptions::default()).merge(metrics_route(|| "example_up 1\n".to_owned()));

    let stop = CancellationToken::new();
    let end = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        stop.cancel();
    };
    let (served, ()) = tokio::join!(server.run(router, stop.clone(), Duration::from_secs(5)), end);
    Ok(served?)
}
