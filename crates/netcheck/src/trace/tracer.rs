//! What others hold.
use super::{
    again::{self, Again},
    assemble, mtu,
    options::TraceOptions,
    prober::{Ports, Prober, Seen, Shot, number},
    report::TraceReport,
    walk::{Walk, walk},
};
use crate::{
    Failure,
    ping::{Pinger, PingerOptions},
};
use std::{net::IpAddr, sync::Arc};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// How a tracer works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracerOptions {
    /// So many probes a second are sent by ICMP and UDP at the most, for all traces together: routers answer few at once. 20,000.
    pub rate: u32,
    /// As in [`PingerOptions`]; 8 MiB.
    pub receive_buffer: usize,
    /// As in [`PingerOptions`]; none.
    pub source: Option<IpAddr>,
}

impl Default for TracerOptions {
    fn default() -> Self {
        Self {
            rate: 20_000,
            receive_buffer: 8 << 20,
            source: None,
        }
    }
}

/// Traces the ways to any number of targets at once, over one socket a family and flow.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use netcheck::trace::{Protocol, TraceOptions, Tracer, TracerOptions};
///
/// let tracer = Tracer::start(TracerOptions::default())?;
/// let options = TraceOptions { protocol: Protocol::Udp { port: 33434 }, ..TraceOptions::default() };
/// let report = tracer.trace("127.0.0.1".parse().unwrap(), options).await;
/// assert!(report.reached && report.hops.len() == 1, "{report:?}");
/// # Ok::<(), netcheck::Failure>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Tracer {
    pinger: Arc<Pinger>,
    ports: Arc<Ports>,
}

impl Tracer {
    /// Starts one with an engine of its own, in the network namespace of the calling thread. Without the right to send pings it
    /// traces by UDP and TCP.
    ///
    /// # Errors
    /// When this machine has no thread or descriptor for it.
    pub fn start(options: TracerOptions) -> Result<Self, Failure> {
        let TracerOptions {
            rate,
            receive_buffer,
            source,
        } = options;
        let options = PingerOptions {
            rate: Some(rate),
            receive_buffer,
            source,
        };
        let pinger = Arc::new(Pinger::start_anyway(options)?);
        let ports = Arc::new(Ports::new(source));
        Ok(Self { pinger, ports })
    }

    /// One that shares the engine, its sockets and its limit of the rate with whoever pings.
    #[must_use]
    pub fn with(pinger: Arc<Pinger>) -> Self {
        let ports = Arc::new(Ports::new(pinger.source()));
        Self { pinger, ports }
    }

    /// Traces the way to a target. Dropping the future ends it.
    ///
    /// # Panics
    /// Outside a Tokio runtime with I/O and time.
    pub async fn trace(&self, address: IpAddr, options: TraceOptions) -> TraceReport {
        let (pinger, ports) = (Arc::clone(&self.pinger), Arc::clone(&self.ports));
        match Prober::new(pinger, ports, address, options) {
            Ok(prober) => trace(Arc::new(prober)).await,
            Err(failure) => TraceReport::not_begun(address, options.protocol, failure),
        }
    }
}

async fn trace(prober: Arc<Prober>) -> TraceReport {
    let began = Instant::now();
    let options = *prober.options();
    let mut walks = walk_all(&prober).await;
    try_again(&prober, &mut walks).await;
    walks.iter_mut().for_each(Walk::settle);
    let mut hops = assemble::hops(&walks);
    let failure = assemble::why(prober.to, &walks, &hops, &options);
    hops.iter_mut()
        .for_each(|hop| hop.weigh(options.protocol, failure.is_none()));
    let mut paths = assemble::paths(&walks, prober.to);
    if failure.is_none() {
        paths.iter_mut().for_each(|path| path.weigh(options.protocol));
    }
    let path_mtu = if options.path_mtu && failure.is_none() {
        mtu::search(Arc::clone(&prober), &hops).await
    } else {
        None
    };
    TraceReport {
        address: prober.to,
        protocol: options.protocol,
        access: prober.access(),
        reached: failure.is_none(),
        unsent: walks
            .iter()
            .find_map(Walk::unsent)
            .filter(|_| failure.is_none())
            .cloned(),
        paths,
        hops,
        path_mtu,
        total: began.elapsed(),
        trust: prober.trust(),
        failure,
    }
}

/// Probes again where a router or the target may have had no time to answer.
async fn try_again(prober: &Arc<Prober>, walks: &mut [Walk]) {
    let options = prober.options();
    let mut again = Again::default();
    for _ in 0..again::ROUNDS_MOST {
        let chosen = again.next(walks, options.first_hop, options.protocol);
        if chosen.is_empty() {
            break;
        }
        sleep(again::REST).await;
        let mut flying = JoinSet::new();
        for (flow, ttl) in chosen {
            let prober = Arc::clone(prober);
            let shot = Shot {
                flow,
                ttl,
                number: number(ttl, options.count),
                size: options.size,
                timeout: options.timeout,
            };
            flying.spawn(async move { (flow, ttl, prober.shoot(shot).await) });
        }
        while let Some(Ok((flow, ttl, seen))) = flying.join_next().await {
            // What this machine cannot send says nothing of the way.
            let is_of_use = !matches!(seen, Seen::Untold | Seen::Unsent(_));
            if let Some(walk) = walks.get_mut(usize::from(flow)).filter(|_| is_of_use) {
                walk.saw(ttl, seen);
                walk.cut();
            }
        }
    }
}

/// The way of each flow, in their order.
async fn walk_all(prober: &Arc<Prober>) -> Vec<Walk> {
    let flows = prober.options().flows;
    let mut walking = JoinSet::new();
    for flow in 0..flows {
        let prober = Arc::clone(prober);
        walking.spawn(async move { (flow, walk(prober, flow).await) });
    }
    let mut walks: Vec<(u16, Walk)> = Vec::with_capacity(usize::from(flows));
    // None of them panics or is cancelled.
    while let Some(Ok(walked)) = walking.join_next().await {
        walks.push(walked);
    }
    walks.sort_unstable_by_key(|(flow, _)| *flow);
    walks.into_iter().map(|(_, walk)| walk).collect()
}
