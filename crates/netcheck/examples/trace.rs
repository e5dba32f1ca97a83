//! The way to an address, without any right: `cargo run --example trace -- 192.0.2.1`.
use netcheck::trace::{Protocol, TraceOptions, Tracer, TracerOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tracer = Tracer::start(TracerOptions::default())?;
    let options = TraceOptions {
        protocol: Protocol::Udp { port: 33434 },
        ..TraceOptions::default()
    };
    for target in std::env::args().skip(1) {
        let report = tracer.trace(target.parse()?, options).await;
        for hop in &report.hops {
            let routers: Vec<String> = hop.routers.iter().map(|router| router.address.to_string()).collect();
            println!("{:3} {}", hop.hop, routers.join(" "));
        }
        if let Some(failure) = report.failure {
            println!("{target}: {failure}; {}", failure.remedy());
        }
    }
    Ok(())
}
