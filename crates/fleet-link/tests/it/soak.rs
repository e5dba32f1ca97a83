//! Faults in any order, snapshots wanted in between, and in the end the server knows what the agent knows.
use crate::{
    faults::{AGENT, bytes},
    rig::{Rig, client_settings, impatient, paths},
};
use core_model::Queue;
use daemon_kit::Dialect;
use fleet_link::DeliverySettings;
use std::{env, sync::Arc, time::Duration};
use testkit::{Fault, FaultyProxy, Random, Recorder};
use transport_http::{Client, ClientSettings};

/// A number from the environment, for soaks.
fn number(name: &str, default: u64) -> u64 {
    env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn fault(random: &mut Random) -> Fault {
    match random.below(16) {
        0 => Fault::Reset,
        1 => Fault::CutRequest(usize::try_from(random.below(3000)).unwrap()),
        2..=4 => Fault::CutResponse(usize::try_from(random.below(200)).unwrap()),
        5 => Fault::Status {
            code: 429,
            retry_after: Some(random.below(3).to_string()),
            body: String::new(),
        },
        6 => Fault::status(500),
        7 => Fault::problem(401, "unknown_key"),
        8 => Fault::Html,
        9 => Fault::NotHttp,
        10 => Fault::TooLarge(1 + usize::try_from(random.below(5)).unwrap()),
        11 => Fault::Redirect("http://127.0.0.1:1/".to_owned()),
        12 => Fault::problem(409, "snapshot_wanted"),
        13 => Fault::Delay(Duration::from_millis(random.below(3))),
        14 => Fault::Hang,
        _ => Fault::Pass,
    }
}

async fn soak(seed: u64) {
    let mut random = Random::new(seed);
    let recorder = Recorder::start().unwrap();
    let proxy = FaultyProxy::start(Some(recorder.address())).unwrap();
    let client = ClientSettings {
        retry_attempts: u32::try_from(random.below(3)).unwrap(),
        retry_after_max: Duration::from_millis(2),
        timeout: Duration::from_millis(500),
        ..client_settings(&proxy.url())
    };
    let settings = DeliverySettings {
        batch_size: 1 + usize::try_from(random.below(20)).unwrap(),
        concurrent_api_calls: 1 + usize::try_from(random.below(5)).unwrap(),
        ..impatient()
    };
    let rig = Rig::by(Client::new(client).unwrap(), Dialect::Shoal, settings);
    let known = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let named = Arc::clone(&known);
    rig.when_wanted(move |queue| {
        queue.open_stream(&named.lock().unwrap());
    });

    let mut files = 0;
    for _ in 0..6 {
        let more = 1 + random.below(40);
        {
            // What is known and what is owed change together, as they do in an agent's state.
            let mut known = known.lock().unwrap();
            known.extend(paths(files + 1, files + more));
            rig.create(&paths(files + 1, files + more), 7);
        }
        files += more;
        if random.below(4) == 0 {
            recorder.reset();
        }
        let steps: Vec<(usize, Fault)> = (0..random.below(5)).map(|_| (1, fault(&mut random))).collect();
        proxy.script(steps).unwrap();
        rig.deliver().await;
    }
    proxy.set(Fault::Pass).unwrap();
    // The last round of all may hear that a snapshot is wanted.
    for round in 0.. {
        let report = rig.deliver().await;
        if report.error.is_none() && report.remaining == 0 {
            break;
        }
        assert!(round < 10, "seed {seed}: {report:?}");
    }

    let stream = recorder
        .newest_stream(AGENT)
        .unwrap_or_else(|| panic!("seed {seed}: nothing"));
    assert_eq!(stream.stream, rig.queue.stream().to_string(), "seed {seed}");
    assert_eq!(stream.gaps, [], "seed {seed}");
    assert_eq!(stream.last_seq, rig.queue.stats().unwrap().last_seq, "seed {seed}");
    assert_eq!(recorder.doubled(), Vec::<String>::new(), "seed {seed}");
    assert_eq!(recorder.live(AGENT), bytes(&paths(1, files)), "seed {seed}");
    assert!(rig.refusals().is_empty(), "seed {seed}");
}

#[tokio::test]
async fn whatever_fails_on_the_way_the_server_has_every_record_once_in_the_end() {
    let first = number("SHOAL_SOAK_SEED", 1);
    for seed in first..first + number("SHOAL_SOAK_COUNT", 8) {
        soak(seed).await;
    }
}
