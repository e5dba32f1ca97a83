//! A routed network of a test's own, for what a loopback cannot show: hops, delay, loss, path MTU, ECMP and ICMP errors.
//!
//! [`Namespace`] is a host or router of its own inside the test's process, [`Topology`] a small network of them. Nothing of
//! it is visible outside, several may stand beside each other, and none outlives the process, however that ends. It takes
//! root, or `unshare --user --map-root-user` around the tests, the program `ip`, and TUN devices;
//! [`Topology::new_or_skip`] says what is missing.
//!
//! It is *not* a model of a wide area network: there is no bandwidth and no queue that fills up. Two limits are the kernel's,
//! and are not lifted by a namespace: all of them share one buffer for each processor from which ICMP messages are sent,
//! echo replies too, which has room for some 170 at once; and a processor takes in up to 1000 packets at once
//! (`net.core.netdev_max_backlog`). What is beyond is dropped where no count shows it, so send in smaller bursts.
pub mod address;
mod counts;
mod direction;
mod emulator;
mod missing;
mod namespace;
mod settings;
mod topology;
mod wiring;

pub use address::DualAddress;
pub use counts::{DirectionCounts, Held, LinkCounts};
pub use missing::Missing;
pub use namespace::Namespace;
pub use settings::{Burst, LinkSettings};
pub use topology::{Topology, TopologyOptions};
