//! Matroska for Kinesis Video Streams: codecs, a zero-copy muxer and an incremental demuxer.
