//! SigV4 signing and verifying, and AWS credential providers, for Kinesis Video Streams.
