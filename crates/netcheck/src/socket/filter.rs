//! What the kernel lets through to a raw socket, which gets every ICMP packet of the machine otherwise: without it, others'
//! pings would fill the buffer that our answers need.
use socket2::SockFilter;

/// Operations of classic BPF, as `<linux/bpf_common.h>` numbers them.
mod op {
    /// Index register: four times the low half of a byte, the length of an IPv4 header.
    pub(super) const INDEX_BY_HEADER: u16 = 0xb1;
    /// Index register: a constant.
    pub(super) const INDEX: u16 = 0x01;
    /// A byte behind the index.
    pub(super) const BYTE: u16 = 0x50;
    /// Four bytes behind the index.
    pub(super) const WORD: u16 = 0x40;
    /// Go on by whether it is the constant.
    pub(super) const IS: u16 = 0x15;
    /// Keep so many bytes; with none, drop the packet.
    pub(super) const KEEP: u16 = 0x06;
}

/// More than any packet has.
const ALL: u32 = 0x4_0000;

/// Lets nothing through.
pub(super) fn nothing() -> Vec<SockFilter> {
    vec![SockFilter::new(op::KEEP, 0, 0, 0)]
}

/// Lets echo replies through that carry `magic`, and errors.
pub(super) fn answers_with(magic: [u8; 4], is_v6: bool) -> Vec<SockFilter> {
    let (reply, errors): (u32, &[u32]) = if is_v6 { (129, &[1, 2, 3, 4]) } else { (0, &[3, 11, 12]) };
    let index = if is_v6 { op::INDEX } else { op::INDEX_BY_HEADER };
    let errors_end = errors.len() as u8;
    let mut program = vec![
        SockFilter::new(index, 0, 0, 0),
        SockFilter::new(op::BYTE, 0, 0, 0),
        // A reply goes on to its payload; anything else is compared with each type of error.
        SockFilter::new(op::IS, 0, 2, reply),
        SockFilter::new(op::WORD, 0, 0, crate::icmp::HEADER as u32),
        SockFilter::new(op::IS, errors_end + 1, errors_end, u32::from_be_bytes(magic)),
    ];
    for (at, kind) in (0_u8..).zip(errors) {
        program.push(SockFilter::new(op::IS, errors_end - at, 0, *kind));
    }
    program.push(SockFilter::new(op::KEEP, 0, 0, 0));
    program.push(SockFilter::new(op::KEEP, 0, 0, ALL));
    program
}
