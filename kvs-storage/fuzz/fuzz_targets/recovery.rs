//! Recovery of segment files made of anything: `cargo fuzz run -s none recovery`.
//!
//! An input is cut into up to three files. A byte before each says what is done to it: left as it is, given a valid header,
//! or given records whose checksums are right and whose fields are the input's, so that what lies behind the checksums is
//! reached.
#![no_main]

use kvs_storage::spool::inspect::{StreamInspection, stream_dir};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let stream = stream_dir(dir.path(), "cam");
    std::fs::create_dir_all(&stream).expect("a directory");
    for (id, piece) in data.chunks(data.len().div_ceil(3).max(1)).enumerate() {
        let bytes = kvs_storage::spool::inspect::mended(piece, id as u64);
        std::fs::write(stream.join(format!("{id:016x}.seg")), bytes).expect("a file");
    }
    let Ok(inspection) = StreamInspection::open(dir.path(), "cam") else { return };
    let mut last = None;
    let mut bytes = 0;
    for item in inspection.items() {
        let Ok(item) = item else { return };
        assert!(last < Some(item.meta.seq), "items out of order");
        last = Some(item.meta.seq);
        bytes += item.payload.len();
    }
    assert!(bytes <= 3 * (data.len() + 1_000), "more was read than written");
    let _ = inspection.verify();
    let _ = inspection.fragments();
});
