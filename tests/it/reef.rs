//! `reef-agent` with a real clamd.
mod parity;
mod rig;
mod scan;
