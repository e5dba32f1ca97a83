//! Pings addresses at once: `cargo run --example ping -- 127.0.0.1 ::1`.
use netcheck::ping::{PingOptions, Pinger, PingerOptions, Pinging};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pinger = Pinger::start(PingerOptions::default())?;
    let mut under_way: Vec<Pinging> = Vec::new();
    for address in std::env::args().skip(1) {
        under_way.push(pinger.ping(address.parse()?, PingOptions::default()));
    }
    for report in under_way.into_iter().map(Pinging::wait) {
        match (&report.failure, report.times) {
            (None, Some(times)) => println!("{}: {:?} in the median", report.address, times.median),
            (failure, _) => println!("{}: {failure:?}", report.address),
        }
    }
    Ok(())
}
