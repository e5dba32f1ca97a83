//! A durable queue in one file: put records in, look, take out what was delivered.
use core_model::{Queue, Run};
use state_sqlite::{Database, OpenOptions, Outbox};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("queue-example.db"), Into::into);
    let outbox = Outbox::open(&Database::open(&path, OpenOptions::default())?)?;
    let body = b"{\"kind\":\"greeting\"}\n".to_vec();
    let seqs = outbox.enqueue(&[Run { records: 1, body }], chrono::Utc::now())?;
    println!(
        "{}: stream {}, enqueued {seqs:?}, waiting {:?}",
        path.display(),
        outbox.stream(),
        outbox.stats()?
    );
    for run in outbox.peek(outbox.stream(), 0, 10)? {
        println!(
            "{:?}: {:?}",
            run.seqs,
            run.body.map(|body| String::from_utf8_lossy(&body).into_owned())
        );
        outbox.ack(outbox.stream(), &[run.seqs.first])?;
    }
    Ok(())
}
