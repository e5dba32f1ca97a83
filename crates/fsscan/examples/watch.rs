//! What a watch costs and how soon it tells: writes files into a directory of its own, in bursts, and prints the delay from
//! the close of each file to its telling, the processor time of an event, and how often an idle watch wakes up.
//!
//! `cargo run --release --example watch --features watch -- [FILES] [fanotify]`
use fsscan::{
    RootRequest,
    watch::{Method, Watch, WatchRequest, Watched},
};
use std::{
    collections::HashMap,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Processor time of this process's thread of the given name, in nanoseconds, and how often it ran.
fn spent(name: &str) -> Result<(u64, u64), Box<dyn Error>> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        // The first thread bears the name of the program.
        if task.ends_with(std::process::id().to_string()) {
            continue;
        }
        if fs::read_to_string(task.join("comm"))?.trim() == name {
            let numbers = fs::read_to_string(task.join("schedstat"))?;
            let mut numbers = numbers.split_whitespace().map(str::parse);
            let (ran, _, times) = (numbers.next(), numbers.next(), numbers.next());
            return Ok((ran.ok_or("no time")??, times.ok_or("no count")??));
        }
    }
    Err("the thread is not there".into())
}

fn write_burst(top: &Path, files: usize) -> std::io::Result<HashMap<PathBuf, Instant>> {
    let mut closed = HashMap::new();
    for number in 0..files {
        let path = top.join(format!("{}/file-{number}", number % 20));
        fs::write(&path, "content")?;
        closed.insert(path, Instant::now());
    }
    Ok(closed)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let files = args.next().map_or(Ok(1000), |count| count.parse())?;
    let top = tempfile::tempdir()?;
    for dir in 0..20 {
        fs::create_dir(top.path().join(dir.to_string()))?;
    }
    let mut request = WatchRequest::new(vec![RootRequest::new(top.path())]);
    if args.next().is_some() {
        request.method = Method::Fanotify;
    }
    let mut watch = Watch::begin(&request)?;
    while !matches!(watch.next().await, Some(Watched::Watching { .. })) {}

    let (_, before) = spent("watch")?;
    Command::new("sleep").arg("3").status()?;
    println!("idle for 3 s: the thread woke up {} times", spent("watch")?.1 - before);

    let (ran, times) = spent("watch")?;
    let path = top.path().to_owned();
    let writer = thread::spawn(move || write_burst(&path, files));
    let mut told: HashMap<PathBuf, Instant> = HashMap::new();
    while told.len() < files {
        let next = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
        match next {
            Ok(Some(Watched::Written(written))) => {
                told.insert(written.path, Instant::now());
            }
            Ok(Some(Watched::Lost(lost))) => println!("lost: {} ({})", lost.below.display(), lost.why.name()),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    let (ran_after, times_after) = spent("watch")?;
    let closed = writer.join().map_err(|_| "the writer broke down")??;
    let mut delays: Vec<Duration> = told
        .iter()
        .filter_map(|(path, at)| closed.get(path).map(|closed| at.saturating_duration_since(*closed)))
        .collect();
    delays.sort_unstable();
    let at = |share: f64| delays.get((delays.len() as f64 * share) as usize).or(delays.last());
    let stats = watch.counters().read();
    println!("{} of {files} files told, {stats:?}", told.len());
    println!(
        "told after its close: median {:?}, p99 {:?}, last {:?}",
        at(0.5),
        at(0.99),
        delays.last()
    );
    println!(
        "the thread: {} ns for each event, {} wake-ups",
        (ran_after - ran) / stats.events.max(1),
        times_after - times
    );
    Ok(())
}
