//! ICMP and ICMPv6 on the wire (RFC 792, RFC 4443), and the sockets that carry them.
mod drops;
mod error;
mod extension;
mod filter;
mod packet;
mod socket;
mod token;

pub use error::{IcmpError, Quoted, Reason};
pub use extension::{Extensions, MplsLabel};
pub use packet::{Echo, Message};
pub(crate) use packet::{HEADER, Packet, echo_request};
pub use socket::{Access, access};
pub(crate) use socket::{Arrived, IcmpSocket, Inbox, Shape};
pub(crate) use token::{LENGTH as TOKEN, Token, Tokens};
