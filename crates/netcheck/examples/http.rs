//! Asks for each URL of the command line: `cargo run -p netcheck --features http --example http -- URL…`
use netcheck::http::{HttpOptions, check};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for url in std::env::args().skip(1) {
        let report = check(&url, &HttpOptions::default()).await;
        println!("{url}: status {:?}, {:?}", report.status, report.times);
        match report.failure {
            Some(failure) => println!("  {failure}: {}", failure.remedy()),
            None => println!("  as expected"),
        }
    }
}
