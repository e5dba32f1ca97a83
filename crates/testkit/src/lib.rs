//! Real parts for tests: this workspace's own programs, run and watched, trees of files, plain and nasty, and what stands
//! between an agent and its server: a proxy that fails as it is told, a recorder that misses nothing, a receiver of OTLP
//! that forgives nothing, a scanner of malware with signatures of its own, a name server with records of its own, and a routed
//! network with a link that loses, delays and doubles packets as it is told.
//!
//! For tests and `xtask` only. It fakes nothing: a program is a real process, a tree is a real tree on a real file
//! system. It is *not* a place for assertions about one product; those stand with the product's tests.
//!
//! ```no_run
//! use testkit::Program;
//!
//! let version = Program::named("scanner")?.arg("--version").run()?.success()?;
//! assert!(version.stdout().starts_with("scanner "));
//!
//! let controller = Program::named("fleet-controller")?.args(["serve", "--listen", "127.0.0.1:0"]).start()?;
//! let url = controller.wait_for("its address", |line| line.strip_prefix("listening on ").map(str::to_owned))?;
//! assert!(url.starts_with("http://127.0.0.1:"));
//! controller.stop()?;
//! # anyhow::Ok(())
//! ```
mod background;
mod binaries;
mod certificates;
#[cfg(unix)]
mod clamd;
mod daemon;
#[cfg(unix)]
mod dns;
mod ending;
mod faulty;
#[cfg(unix)]
mod hostile;
mod http;
#[cfg(unix)]
mod installed;
mod log;
mod nasty;
#[cfg(target_os = "linux")]
pub mod net;
mod otlp;
mod output;
mod port;
mod program;
mod random;
mod recorder;
mod tree;
mod wait;

pub use binaries::binary;
pub use certificates::{CertificateAuthority, Certified, Validity, self_signed};
#[cfg(unix)]
pub use clamd::{Clamd, ClamdOptions, ClamdProxy, MARKER, daily_database, eicar};
pub use daemon::Daemon;
#[cfg(unix)]
pub use dns::Dnsmasq;
pub use faulty::{Fault, FaultyProxy, PathIs};
#[cfg(unix)]
pub use hostile::hostile_names;
pub use http::{Answer, http_get};
pub use nasty::{Nasty, nasty_files};
pub use otlp::{OtlpAnswer, OtlpLine, OtlpOptions, OtlpPoint, OtlpReceived, OtlpReceiver, OtlpSpan};
pub use output::Output;
pub use port::free_loopback_port;
pub use program::{Program, run};
pub use random::Random;
pub use recorder::{Recorder, StreamFacts, Totals};
pub use tree::{Tree, TreePlan};
pub use wait::{GUARD, eventually};
