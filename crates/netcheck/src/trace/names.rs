//! What routers are called.
use super::report::TraceReport;
use crate::dns;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::task::JoinSet;

/// So many are asked about at once.
const TOGETHER: usize = 32;

/// Asks a name server what the routers of these reports are called, and notes it there; each is asked about once, for `timeout` at
/// most. A server that does not answer leaves them without a name.
///
/// # Panics
/// Outside a Tokio runtime with I/O and time.
pub async fn names(reports: &mut [TraceReport], server: SocketAddr, timeout: Duration) {
    let mut found: HashMap<IpAddr, Option<String>> = HashMap::new();
    let routers = reports
        .iter()
        .flat_map(|report| &report.hops)
        .flat_map(|hop| &hop.routers);
    let mut asked: Vec<IpAddr> = routers.map(|router| router.address).collect();
    asked.sort_unstable();
    asked.dedup();
    let mut asking = JoinSet::new();
    for address in asked {
        if asking.len() >= TOGETHER
            && let Some(Ok((address, name))) = asking.join_next().await
        {
            found.insert(address, name);
        }
        asking.spawn(async move { (address, dns::reverse(address, server, timeout).await.ok().flatten()) });
    }
    while let Some(Ok((address, name))) = asking.join_next().await {
        found.insert(address, name);
    }
    let routers = reports
        .iter_mut()
        .flat_map(|report| &mut report.hops)
        .flat_map(|hop| &mut hop.routers);
    for router in routers {
        router.name = found.get(&router.address).cloned().flatten();
    }
}
