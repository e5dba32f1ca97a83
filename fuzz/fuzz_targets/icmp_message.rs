//! Fuzzes [`fuzz::icmp_message`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::icmp_message(data));
