//! ICMP and ICMPv6 on the wire (RFC 792, RFC 4443), and the sockets that carry them.
mod error;
mod extension;
mod packet;
mod token;

pub use crate::socket::{Access, access};
pub use error::{IcmpError, Quoted, Reason};
pub use extension::{Extensions, MplsLabel};
pub use packet::{Echo, Message};
pub(crate) use packet::{HEADER, Packet, echo_request, level_sum};
pub(crate) use token::{LENGTH as TOKEN, Token, Tokens};
