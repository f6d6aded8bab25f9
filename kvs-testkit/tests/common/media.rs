//! Matroska written by hand, element by element, so that every rule can be broken.

/// An EBML element with a size in the fewest bytes.
pub fn element(id: &[u8], data: impl AsRef<[u8]>) -> Vec<u8> {
    let data = data.as_ref();
    let length = (1..8).find(|n| (data.len() as u64) < (1 << (7 * n)) - 1).unwrap();
    let size = data.len() as u64 | 1 << (7 * length);
    [id, &size.to_be_bytes()[8 - length..], data].concat()
}

/// An element of unknown size.
pub fn endless(id: &[u8]) -> Vec<u8> {
    [id, &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat()
}

pub fn uint(id: &[u8], value: u64) -> Vec<u8> {
    element(id, value.to_be_bytes())
}

pub fn ebml_header(doc_type: &str) -> Vec<u8> {
    let children = [
        element(&[0x42, 0x86], [1]),
        element(&[0x42, 0xf7], [1]),
        element(&[0x42, 0xf2], [4]),
        element(&[0x42, 0xf3], [8]),
        element(&[0x42, 0x82], doc_type),
        element(&[0x42, 0x87], [2]),
        element(&[0x42, 0x85], [2]),
    ];
    element(&[0x1a, 0x45, 0xdf, 0xa3], children.concat())
}

pub fn segment() -> Vec<u8> {
    endless(&[0x18, 0x53, 0x80, 0x67])
}

pub fn info(scale_ns: u64) -> Vec<u8> {
    element(&[0x15, 0x49, 0xa9, 0x66], uint(&[0x2a, 0xd7, 0xb1], scale_ns))
}

pub fn track(number: u64) -> Vec<u8> {
    let (kind, codec) = if number == 1 {
        (1, "V_MPEG4/ISO/AVC")
    } else {
        (2, "A_AAC")
    };
    let children = [
        uint(&[0xd7], number),
        uint(&[0x73, 0xc5], number),
        uint(&[0x83], kind),
        element(&[0x86], codec),
    ];
    element(&[0xae], children.concat())
}

pub fn tracks(numbers: &[u64]) -> Vec<u8> {
    let entries: Vec<u8> = numbers.iter().flat_map(|&number| track(number)).collect();
    element(&[0x16, 0x54, 0xae, 0x6b], entries)
}

/// Everything before the first cluster.
pub fn header(numbers: &[u64]) -> Vec<u8> {
    [
        ebml_header("matroska"),
        segment(),
        info(1_000_000),
        tracks(numbers),
    ]
    .concat()
}

/// A cluster's head, of unknown size, with its timecode.
pub fn cluster(timecode: u64) -> Vec<u8> {
    [endless(&[0x1f, 0x43, 0xb6, 0x75]), uint(&[0xe7], timecode)].concat()
}

pub fn block(track: u8, relative: i16, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let head = [&[0x80 | track][..], &relative.to_be_bytes(), &[0x80]].concat();
    element(&[0xa3], [&head, payload.as_ref()].concat())
}

pub fn tags(pairs: &[(&str, &str)]) -> Vec<u8> {
    let simple: Vec<u8> = pairs
        .iter()
        .flat_map(|(name, value)| {
            let children = [element(&[0x45, 0xa3], name), element(&[0x44, 0x87], value)];
            element(&[0x67, 0xc8], children.concat())
        })
        .collect();
    element(&[0x12, 0x54, 0xc3, 0x67], element(&[0x73, 0x73], simple))
}

pub fn end_of_fragment() -> Vec<u8> {
    tags(&[("AWS_KINESISVIDEO_END_OF_FRAGMENT", "")])
}

/// A fragment of three frames on track 1, 100 ms apart.
pub fn fragment(timecode: u64) -> Vec<u8> {
    let frames = (0..3).flat_map(|i| block(1, i * 100, format!("frame {timecode}+{i}")));
    cluster(timecode).into_iter().chain(frames).collect()
}
