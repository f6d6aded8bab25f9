//! As much of HTTP/1.1 as a duplex request needs: a head out, chunks out, a response in, all at the same
//! time.

mod body;
mod request;
mod response;
mod writer;

pub(crate) use self::{
    body::{BodyDecoder, Decoded},
    request::encode_head,
    response::{HeadParser, ResponseHead, ResponseReader},
    writer::ChunkedWriter,
};
