//! Where a response body ends (RFC 9112 §6, §7).

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

use crate::{ClientError, ClientErrorKind};

/// The longest line of a chunk's head or of a trailer.
const MAX_LINE: usize = 4096;

/// All trailers together.
const MAX_TRAILERS: usize = 16 * 1024;

/// Takes the framing off a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyDecoder {
    /// So many bytes are still to come.
    Length(u64),
    /// Up to the end of the connection.
    UntilClose,
    /// In chunks.
    Chunked(Chunk),
    /// Nothing more.
    Done,
}

/// Where in the chunked coding the body stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    /// So many bytes of trailers have been passed over.
    Trailers(usize),
}

/// What could be made of the bytes at hand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Data(Bytes),
    NeedMore,
    End,
}

impl BodyDecoder {
    /// How the body of a response is framed.
    pub(crate) fn of_response(status: u16, headers: &HeaderMap) -> Result<Self, ClientError> {
        if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
            return Ok(Self::Done);
        }
        if let Some(coding) = headers.get_all(TRANSFER_ENCODING).iter().next_back() {
            let last = coding
                .to_str()
                .unwrap_or_default()
                .rsplit(',')
                .next()
                .unwrap_or_default();
            let is_chunked = last.trim().eq_ignore_ascii_case("chunked");
            return Ok(if is_chunked {
                Self::Chunked(Chunk::Size)
            } else {
                Self::UntilClose
            });
        }
        match headers.get(CONTENT_LENGTH) {
            None => Ok(Self::UntilClose),
            Some(length) => {
                let length = length.to_str().ok().and_then(|text| text.trim().parse().ok());
                length
                    .map(Self::Length)
                    .ok_or_else(|| protocol("content-length is not a number"))
            }
        }
    }

    /// Takes what it can from `buffer`.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, ClientError> {
        loop {
            match self {
                Self::Done | Self::Length(0) => {
                    *self = Self::Done;
                    return Ok(Decoded::End);
                }
                Self::Length(left) => return Ok(take(buffer, left)),
                Self::UntilClose => {
                    let data = buffer.split().freeze();
                    return Ok(if data.is_empty() {
                        Decoded::NeedMore
                    } else {
                        Decoded::Data(data)
                    });
                }
                Self::Chunked(Chunk::Data(left)) => {
                    let taken = take(buffer, left);
                    if *left == 0 {
                        *self = Self::Chunked(Chunk::DataEnd);
                    }
                    return Ok(taken);
                }
                Self::Chunked(chunk) => {
                    let Some(line) = take_line(buffer)? else {
                        return Ok(Decoded::NeedMore);
                    };
                    match chunk.after_line(&line)? {
                        Some(next) => *chunk = next,
                        None => *self = Self::Done,
                    }
                }
            }
        }
    }

    /// True if the connection may end here: the body is complete, or ends with it.
    pub(crate) fn may_end(&self) -> bool {
        matches!(self, Self::Done | Self::Length(0) | Self::UntilClose)
    }
}

impl Chunk {
    /// The state after a line of framing; `None` after the last.
    fn after_line(&self, line: &[u8]) -> Result<Option<Self>, ClientError> {
        match self {
            Self::Size => match parse_size(line)? {
                0 => Ok(Some(Self::Trailers(0))),
                size => Ok(Some(Self::Data(size))),
            },
            Self::DataEnd if line.is_empty() => Ok(Some(Self::Size)),
            Self::Data(_) | Self::DataEnd => Err(protocol("a chunk is longer than its size")),
            Self::Trailers(_) if line.is_empty() => Ok(None),
            Self::Trailers(passed) if passed + line.len() > MAX_TRAILERS => {
                Err(protocol("trailers are too long"))
            }
            Self::Trailers(passed) => Ok(Some(Self::Trailers(passed + line.len()))),
        }
    }
}

fn protocol(context: &str) -> ClientError {
    ClientError::new(ClientErrorKind::Protocol, context)
}

fn take(buffer: &mut BytesMut, left: &mut u64) -> Decoded {
    let count = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    if count == 0 {
        return Decoded::NeedMore;
    }
    *left -= count as u64;
    Decoded::Data(buffer.split_to(count).freeze())
}

/// A line without its end, CR LF or a bare LF.
fn take_line(buffer: &mut BytesMut) -> Result<Option<BytesMut>, ClientError> {
    let Some(end) = buffer.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        return if buffer.len() < MAX_LINE {
            Ok(None)
        } else {
            Err(protocol("a line of a chunk is too long"))
        };
    };
    let mut line = buffer.split_to(end);
    buffer.advance(1);
    if line.ends_with(b"\r") {
        line.truncate(line.len() - 1);
    }
    Ok(Some(line))
}

/// `1a3;extension` → 0x1a3.
fn parse_size(line: &[u8]) -> Result<u64, ClientError> {
    let digits = line
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex
        .then(|| u64::from_str_radix(text, 16).ok())
        .flatten()
        .ok_or_else(|| protocol("a chunk size is not a hexadecimal number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(mut decoder: BodyDecoder, pieces: &[&[u8]]) -> Result<(Vec<u8>, BodyDecoder), ClientError> {
        let mut buffer = BytesMut::new();
        let mut data = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Decoded::Data(bytes) = decoder.decode(&mut buffer)? {
                data.extend_from_slice(&bytes);
            }
        }
        Ok((data, decoder))
    }

    fn chunked() -> BodyDecoder {
        BodyDecoder::Chunked(Chunk::Size)
    }

    #[test]
    fn chunks_extensions_and_trailers_are_taken_apart() {
        let text = b"3\r\nabc\r\nA;name=\"v\"\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\n";

        let (data, decoder) = decode_all(chunked(), &[text]).expect("decodes");

        assert_eq!(
            (data.as_slice(), decoder),
            (&b"abc0123456789"[..], BodyDecoder::Done)
        );
    }

    #[test]
    fn a_length_ends_the_body_and_leaves_the_rest() {
        let mut buffer = BytesMut::from(&b"abcdef"[..]);
        let mut decoder = BodyDecoder::Length(4);

        assert_eq!(
            decoder.decode(&mut buffer).expect("decodes"),
            Decoded::Data(Bytes::from_static(b"abcd"))
        );
        assert_eq!(decoder.decode(&mut buffer).expect("decodes"), Decoded::End);
        assert_eq!(&buffer[..], b"ef");
    }

    #[test]
    fn broken_framing_is_an_error() {
        let long = vec![b'1'; MAX_LINE];
        let trailers = [&b"0\r\n"[..], &b"x: 1234567890\r\n".repeat(2000)].concat();
        for text in [
            &b"\r\n"[..],
            b"xyz\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"11111111111111111\r\n",
            b"1\r\nabc\r\n",
            &long,
            &trailers,
        ] {
            let error = decode_all(chunked(), &[text]).expect_err("refused");

            assert_eq!(error.kind(), ClientErrorKind::Protocol);
        }
    }

    #[test]
    fn the_framing_follows_the_headers() {
        let headers = |name: &'static str, value: &'static str| -> HeaderMap {
            [(
                http::HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )]
            .into_iter()
            .collect()
        };
        let of = |status, headers: &HeaderMap| BodyDecoder::of_response(status, headers).ok();

        assert_eq!(of(200, &headers("transfer-encoding", "Chunked")), Some(chunked()));
        assert_eq!(
            of(200, &headers("transfer-encoding", "gzip, chunked")),
            Some(chunked())
        );
        assert_eq!(
            of(200, &headers("content-length", "12")),
            Some(BodyDecoder::Length(12))
        );
        assert_eq!(of(200, &headers("content-length", "many")), None);
        assert_eq!(of(200, &HeaderMap::new()), Some(BodyDecoder::UntilClose));
        assert_eq!(of(204, &HeaderMap::new()), Some(BodyDecoder::Done));
    }

    proptest! {
        #[test]
        fn chunks_survive_any_split(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..6),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();

            let (data, decoder) = decode_all(chunked(), &pieces).expect("decodes");

            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(decoder, BodyDecoder::Done);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_all(chunked(), &[&bytes]);
        }
    }
}
