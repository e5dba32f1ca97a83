//! `reef-agent` with a real clamd.
mod parity;
mod quarantine;
mod rig;
mod scan;
