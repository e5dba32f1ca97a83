//! Fuzzes [`fuzz::ingest_batch`].
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::ingest_batch(data));
