//! `reef-agent` with a real clamd.
mod daemon;
mod doctor;
mod fleet;
mod packed;
mod parity;
mod quarantine;
mod rig;
mod scan;
mod telemetry;
