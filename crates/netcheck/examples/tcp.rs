//! Whether `host:port` accepts connections: `cargo run --example tcp -- localhost:22`.
use netcheck::tcp::{self, TcpOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for target in std::env::args().skip(1) {
        let report = tcp::check(&target, &TcpOptions::default()).await;
        match (report.failure, report.address, report.connect) {
            (None, Some(address), Some(time)) => println!("{target}: {address} in {time:?}"),
            (Some(failure), ..) => println!("{target}: {failure}; {}", failure.remedy()),
            _ => {}
        }
    }
}
