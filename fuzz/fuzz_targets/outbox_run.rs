//! Fuzzes [`fuzz::outbox_run`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::outbox_run(data));
