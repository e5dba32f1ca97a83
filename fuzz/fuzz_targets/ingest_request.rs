//! Fuzzes [`fuzz::ingest_request`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::ingest_request(data));
