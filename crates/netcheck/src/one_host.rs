//! Which addresses are of one host.
use crate::{Failure, FailureKind};
use std::net::IpAddr;

/// Answers come from hosts: whoever asks many at once, or nobody, gets none that is the target's.
pub(crate) fn is_one_host(address: IpAddr) -> Result<(), Failure> {
    let what = match address {
        _ if address.is_unspecified() => "no address of a host",
        _ if address.is_multicast() => "the address of a group: give one of its members",
        IpAddr::V4(v4) if v4.is_broadcast() => "the address of all hosts of a network: give one of them",
        _ => return Ok(()),
    };
    Err(Failure::new(FailureKind::Invalid, format!("{address} is {what}")))
}
