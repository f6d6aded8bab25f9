#![no_main]
//! Any bytes, at any split.

use bytes::Bytes;
use kvs_mkv::{DemuxLimits, Demuxer, MkvError, MkvEvent, Recovery};
use libfuzzer_sys::fuzz_target;

fn read(stream: &[u8], size: usize, recovery: Recovery) -> (Vec<MkvEvent>, Option<MkvError>) {
    let limits = DemuxLimits { max_block: 4096, max_tags: 4096, max_header_element: 4096, recovery };
    let mut demuxer = Demuxer::new(limits);
    let mut events = Vec::new();
    for chunk in stream.chunks(size) {
        demuxer.push(Bytes::copy_from_slice(chunk));
        loop {
            match demuxer.poll() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        // An element within the limits, its head, and what was pushed beyond it.
        assert!(demuxer.buffered() <= 4096 + 12 + size.max(13));
    }
    let error = demuxer.finish().err();
    while let Ok(Some(event)) = demuxer.poll() {
        events.push(event);
    }
    (events, error)
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, stream)) = data.split_first() else { return };
    let size = usize::from(size).max(1);
    for recovery in [Recovery::Fail, Recovery::NextCluster] {
        let split = read(stream, size, recovery);
        if recovery == Recovery::Fail {
            assert_eq!(split, read(stream, 1, recovery));
        }
    }
});
