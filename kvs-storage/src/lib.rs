//! The rolling window and the content stores of a Kinesis Video Streams producer.
