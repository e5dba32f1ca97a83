//! A port for programs that cannot be told to choose one.
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, TcpListener};

/// A TCP port of the loopback on which nothing listens at the moment.
///
/// Somebody else may take it before the caller does, so this is only for a port on which nothing shall answer, and for
/// programs that cannot listen on port 0.
///
/// # Errors
/// When the system has none.
pub fn free_loopback_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on the loopback")?;
    Ok(listener.local_addr().context("a listener has an address")?.port())
}
