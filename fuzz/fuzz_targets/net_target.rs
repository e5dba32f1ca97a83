//! Fuzzes [`fuzz::net_target`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::net_target(data));
