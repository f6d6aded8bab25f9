//! The HTTP API of Kinesis Video Streams, with PutMedia in true full duplex.
