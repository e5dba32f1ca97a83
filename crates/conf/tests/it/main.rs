//! The crate as its users see it: texts in, pictures of problems out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod example;
mod layers;
mod many;
mod mistakes;
mod model;
mod properties;
mod secrets;
mod shapes;
