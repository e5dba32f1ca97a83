//! The link against a controller's end of it that the test holds in its hand.
pub(crate) mod agent;
mod commands;
mod connection;
pub(crate) mod controller;
mod exchange;
mod polling;
mod restart;
