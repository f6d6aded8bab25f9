//! Taking a request's body out of a connection's bytes.

use bytes::{Buf, Bytes, BytesMut};

use super::head::{BadRequest, Framing};

/// A chunk's size line, extensions included, and each trailer line.
const MAX_LINE: usize = 4 * 1024;

/// All trailer lines together.
const MAX_TRAILERS: usize = 16 * 1024;

/// What the next bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    /// Nothing until more has been read.
    NeedMore,
    /// The body ended cleanly.
    End,
}

/// Where in the body a connection is.
#[derive(Debug)]
pub(super) struct BodyDecoder {
    state: State,
    trailers: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    Done,
}

impl BodyDecoder {
    pub(super) fn new(framing: Framing) -> BodyDecoder {
        let state = match framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
        };
        BodyDecoder { state, trailers: 0 }
    }

    /// Takes the next piece of body, of at most `most` bytes (which is not 0), off the buffer.
    pub(super) fn next(&mut self, buffer: &mut BytesMut, most: usize) -> Result<Piece, BadRequest> {
        loop {
            match self.state {
                State::Done | State::Length(0) => return Ok(Piece::End),
                State::Length(left) => {
                    let Some(data) = take(buffer, left, most) else {
                        return Ok(Piece::NeedMore);
                    };
                    self.state = State::Length(left - data.len() as u64);
                    return Ok(Piece::Data(data));
                }
                State::ChunkSize => {
                    let Some(line) = take_line(buffer)? else {
                        return Ok(Piece::NeedMore);
                    };
                    self.state = match chunk_size(&line)? {
                        0 => State::Trailers,
                        size => State::Chunk(size),
                    };
                }
                State::Chunk(left) => {
                    let Some(data) = take(buffer, left, most) else {
                        return Ok(Piece::NeedMore);
                    };
                    let left = left - data.len() as u64;
                    self.state = if left == 0 {
                        State::ChunkEnd
                    } else {
                        State::Chunk(left)
                    };
                    return Ok(Piece::Data(data));
                }
                State::ChunkEnd => {
                    if buffer.len() < 2 {
                        return Ok(Piece::NeedMore);
                    }
                    if !buffer.starts_with(b"\r\n") {
                        return Err(BadRequest::new(400, "a chunk is longer than its size says"));
                    }
                    buffer.advance(2);
                    self.state = State::ChunkSize;
                }
                State::Trailers => {
                    let Some(line) = take_line(buffer)? else {
                        return Ok(Piece::NeedMore);
                    };
                    self.trailers += line.len();
                    if self.trailers > MAX_TRAILERS {
                        return Err(BadRequest::new(431, "the trailer section is too large"));
                    }
                    if line.is_empty() {
                        self.state = State::Done;
                    }
                }
            }
        }
    }
}

fn take(buffer: &mut BytesMut, left: u64, most: usize) -> Option<Bytes> {
    let length = usize::try_from(left)
        .unwrap_or(usize::MAX)
        .min(most)
        .min(buffer.len());
    (length > 0).then(|| buffer.split_to(length).freeze())
}

/// Takes a line off the buffer, without its end.
fn take_line(buffer: &mut BytesMut) -> Result<Option<Bytes>, BadRequest> {
    let window = &buffer[..buffer.len().min(MAX_LINE)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        if buffer.len() >= MAX_LINE {
            return Err(BadRequest::new(400, "a line of the chunked body is too long"));
        }
        return Ok(None);
    };
    let line = buffer.split_to(end).freeze();
    buffer.advance(2);
    Ok(Some(line))
}

/// The size in front of a chunk; extensions after a `;` are ignored (RFC 9112 §7.1.1).
fn chunk_size(line: &[u8]) -> Result<u64, BadRequest> {
    let digits = line
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    // 15 digits: 2^60 bytes, more than any connection carries.
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(BadRequest::new(400, "a malformed chunk size"));
    }
    let value = |digit: &u8| char::from(*digit).to_digit(16).map_or(0, u64::from);
    Ok(digits.iter().fold(0, |size, digit| size * 16 + value(digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(framing: Framing, wire: &[u8], step: usize) -> Result<(Vec<u8>, bool), BadRequest> {
        let mut decoder = BodyDecoder::new(framing);
        let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
        for part in wire.chunks(step) {
            buffer.extend_from_slice(part);
            loop {
                match decoder.next(&mut buffer, usize::MAX)? {
                    Piece::Data(data) => body.extend_from_slice(&data),
                    Piece::NeedMore => break,
                    Piece::End => return Ok((body, true)),
                }
            }
        }
        Ok((body, false))
    }

    #[test]
    fn a_chunked_body_is_the_same_however_it_is_cut() {
        let wire = b"4;ext=1\r\nabcd\r\n00a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext";
        for step in 1..wire.len() {
            let (body, ended) = decode_all(Framing::Chunked, wire, step).unwrap();
            assert_eq!((&body[..], ended), (&b"abcd0123456789"[..], true), "step {step}");
        }
    }

    #[test]
    fn a_body_with_a_length_ends_where_it_says() {
        let (body, ended) = decode_all(Framing::Length(3), b"abcdef", 2).unwrap();
        assert_eq!((&body[..], ended), (&b"abc"[..], true));
        assert!(!decode_all(Framing::Length(9), b"abcdef", 2).unwrap().1);
    }

    #[test]
    fn broken_chunks_are_refused() {
        for wire in [
            &b"zz\r\n"[..],
            b"\r\n",
            b"-1\r\n",
            b"1\r\nab\r\n",
            b"fffffffffffffffff\r\n",
            &[b'1'; 5_000],
        ] {
            assert!(decode_all(Framing::Chunked, wire, 1).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn no_more_is_taken_than_asked_for() {
        let mut buffer = BytesMut::from(&b"5\r\nabcde\r\n"[..]);
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        assert_eq!(
            decoder.next(&mut buffer, 2).unwrap(),
            Piece::Data(Bytes::from_static(b"ab"))
        );
        assert_eq!(
            decoder.next(&mut buffer, 9).unwrap(),
            Piece::Data(Bytes::from_static(b"cde"))
        );
    }
}
