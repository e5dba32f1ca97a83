//! Answers to STATS as clamd sends them, cut, and made to mislead.
use super::*;
use proptest::prelude::*;

const IDLE: &[u8] =
    b"POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 1  idle 0 max 2 idle-timeout 30\nQUEUE: 0 items\n\
    \tSTATS 0.000003 \n\nMEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A pools 1 pools_used 5.891M \
    pools_total 5.972M\nEND";
const BUSY: &[u8] = b"POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 2  idle 0 max 2 idle-timeout 30\n\
    QUEUE: 16 items min_wait: 2.061168 max_wait: 2.090573 avg_wait: 2.064767\n\tSTATS 0.000001 \n\
    \tFILDES 1.184575 fd[17]\n\nMEMSTATS: heap 3.656M mmap 0.129M used 3.236M free 0.422M releasable 0.137M pools 1 \
    pools_used 5.891M pools_total 5.972M\nEND";

fn mib(count: f64) -> u64 {
    (count * MIB) as u64
}

#[test]
fn an_idle_clamd_is_read_whole() {
    let stats = Stats::parse(IDLE).unwrap();
    let idle_timeout = Duration::from_secs(30);
    let pool = &stats.pools[0];
    assert_eq!((pool.state, pool.is_primary), (PoolState::Valid, true));
    assert_eq!(
        pool.threads,
        Threads {
            live: 1,
            idle: 0,
            max: 2,
            idle_timeout
        }
    );
    assert_eq!((pool.queue, stats.waiting()), (WaitingJobs { items: 0, wait: None }, 0));
    let running = Duration::from_micros(3);
    assert_eq!(
        pool.jobs,
        [Job {
            command: "STATS".to_owned(),
            running,
            about: Vec::new()
        }]
    );
    assert_eq!((stats.memory.heap, stats.memory.pools), (None, Some(1)));
    assert_eq!(stats.memory.pools_total, Some(mib(5.972)));
}

#[test]
fn a_busy_clamd_tells_its_queue_its_jobs_and_its_memory() {
    let stats = Stats::parse(BUSY).unwrap();
    let pool = &stats.pools[0];
    let waits = pool.queue.wait.unwrap();
    assert_eq!((stats.waiting(), waits.max), (16, Duration::from_micros(2_090_573)));
    assert_eq!((pool.jobs.len(), pool.jobs[1].about.as_slice()), (2, &b"fd[17]"[..]));
    assert_eq!(stats.memory.releasable, Some(mib(0.137)));
}

#[test]
fn a_job_that_began_after_clamd_looked_at_the_clock_has_run_for_no_time() {
    let text = std::str::from_utf8(BUSY).unwrap();
    let early = text.replace("FILDES 1.184575", "FILDES -0.000031");
    let stats = Stats::parse(early.as_bytes()).unwrap();
    assert_eq!(stats.pools[0].jobs[1].running, Duration::ZERO);
}

#[test]
fn a_path_made_of_a_reply_does_not_mislead() {
    let path = b"/d/x\n\nMEMSTATS: heap 1M\nEND\nQUEUE: 99 items\n\xff";
    let marker = b"fd[17]";
    let at = BUSY.windows(marker.len()).position(|window| window == marker).unwrap();
    let reply = [&BUSY[..at], path, &BUSY[at + marker.len()..]].concat();
    let stats = Stats::parse(&reply).unwrap();
    assert_eq!(stats.waiting(), 16);
    assert_eq!(stats.memory.heap, Some(mib(3.656)));
    assert_eq!(stats.pools[0].jobs[1].about, path);
}

#[test]
fn several_pools_are_told_apart() {
    let text = std::str::from_utf8(IDLE).unwrap();
    let second = "STATE: EXIT \nTHREADS: live 0  idle 0 max 1 idle-timeout 5\nQUEUE: 3 items\n\nMEMSTATS";
    let two = text.replace("POOLS: 1", "POOLS: 2").replace("MEMSTATS", second);
    let stats = Stats::parse(two.as_bytes()).unwrap();
    assert_eq!((stats.pools.len(), stats.waiting()), (2, 3));
    assert_eq!(
        (stats.pools[1].state, stats.pools[1].is_primary),
        (PoolState::Exiting, false)
    );
    assert_eq!(stats.pools[0].jobs.len(), 1);
    assert!(Stats::parse(text.replace("POOLS: 1", "POOLS: 2").as_bytes()).is_err());
}

#[test]
fn what_is_cut_or_odd_is_an_error() {
    for length in 0..BUSY.len() {
        assert!(Stats::parse(&BUSY[..length]).is_err(), "{length}");
    }
    let text = std::str::from_utf8(BUSY).unwrap();
    for (from, to) in [
        ("live 2", "live -2"),
        ("live 2 ", ""),
        ("VALID", "GONE"),
        ("16 items", "many items"),
        ("avg_wait: 2.064767", "avg_wait: NaN"),
        ("heap 3.656M", "heap 3.656"),
        ("heap 3.656M", "heap infM"),
        ("POOLS: 1", "POOLS: 0"),
        ("\tSTATS 0.000001 \n\tFILDES", "\tFILDES x"),
    ] {
        let odd = text.replace(from, to);
        assert_ne!(odd, text, "{from}");
        assert!(Stats::parse(odd.as_bytes()).is_err(), "{from} as {to}");
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        live in any::<u32>(), idle in any::<u32>(), max in any::<u32>(), items in any::<u32>(),
        jobs in prop::collection::vec(("[A-Z]{1,12}", 0u32..1_000_000, prop::collection::vec(prop::num::u8::ANY, 0..30)), 0..6),
        used in prop::option::of(0u32..1_000_000),
    ) {
        let about = |path: &Vec<u8>| path.iter().copied().filter(|byte| !b"\n\0".contains(byte)).collect::<Vec<u8>>();
        let mut reply = format!(
            "POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live {live}  idle {idle} max {max} idle-timeout 30\nQUEUE: {items} items\n"
        ).into_bytes();
        for (command, running, path) in &jobs {
            reply.extend(format!("\t{command} {running}.000000 ").bytes());
            reply.extend(about(path));
            reply.push(b'\n');
        }
        let used_text = used.map_or("N/A".to_owned(), |used| format!("{used}.000M"));
        reply.extend(format!("\nMEMSTATS: heap N/A mmap N/A used {used_text} free N/A releasable N/A pools 1 pools_used N/A pools_total N/A\nEND").bytes());
        let stats = Stats::parse(&reply).unwrap();
        let pool = &stats.pools[0];
        prop_assert_eq!((pool.threads.live, pool.threads.idle, pool.threads.max, pool.queue.items), (live, idle, max, items));
        let expected: Vec<Job> = jobs.iter().map(|(command, running, path)| Job {
            command: command.clone(), running: Duration::from_secs(u64::from(*running)), about: about(path),
        }).collect();
        prop_assert_eq!(&pool.jobs, &expected);
        prop_assert_eq!(stats.memory.used, used.map(|used| u64::from(used) * 1024 * 1024));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), at in 0..BUSY.len()) {
        let reply = [&BUSY[..at], &bytes, &BUSY[at..]].concat();
        let _: Result<Stats, ReplyError> = Stats::parse(&reply);
    }
}
