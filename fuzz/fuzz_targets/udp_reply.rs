//! Fuzzes [`fuzz::udp_reply`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::udp_reply(data));
