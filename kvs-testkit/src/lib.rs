//! A mock endpoint of Kinesis Video Streams with PutMedia, fault scripts and a ledger.
