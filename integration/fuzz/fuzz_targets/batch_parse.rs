#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ratel_integration::fuzzing::batch_parse(data));
