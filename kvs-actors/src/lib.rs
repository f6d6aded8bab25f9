//! The stream machine and the actors of a Kinesis Video Streams producer.
