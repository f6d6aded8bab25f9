//! Ways of embedding the producer; see the `examples` folder.
