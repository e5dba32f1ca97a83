//! A port for programs that cannot be told to choose one.
use anyhow::{Context, Result};
use std::net::Ipv4Addr;
use tokio::net::TcpSocket;

/// A TCP port of the loopback on which nothing listens at the moment.
///
/// Somebody else may take it before the caller does, so this is only for a port on which nothing shall answer, and for
/// programs that cannot listen on port 0.
///
/// # Errors
/// When the system has none.
pub fn free_loopback_port() -> Result<u16> {
    // It never listens: a process that another thread starts at this moment may hold it for longer than this function.
    let place = TcpSocket::new_v4().context("no socket")?;
    place.set_reuseaddr(true).context("no socket to share a port")?;
    place
        .bind((Ipv4Addr::LOCALHOST, 0).into())
        .context("no free port on the loopback")?;
    Ok(place.local_addr().context("a socket has an address")?.port())
}
