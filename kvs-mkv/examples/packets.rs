//! Packets in and out of Matroska, as files other tools can make and check:
//!
//! - `packets demux IN.mkv DATA` writes every frame's bytes to DATA and a line `track time size key` for each to
//!   stdout, times in milliseconds.
//! - `packets mux TRACKS INDEX DATA PREFIX [MAX_SECONDS]` reads lines `track pts dts key size` (nanoseconds) from INDEX
//!   and the frames from DATA, and writes one file per session, PREFIX.0.mkv and so on. TRACKS lists codecs by number:
//!   `h264`, `h265`, `aac`, `mjpeg`, `alaw:RATE:CHANNELS`, `mulaw:RATE:CHANNELS`, `pcm:RATE:CHANNELS:BITS`, each with an
//!   optional `=FILE` that holds its codec private data. It prints a line of JSON with what was dropped.
//! - `packets file IN.mkv OUT.mkv` writes a session, or several one after the other, as one file with an index.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use bytes::Bytes;
use kvs_mkv::codec::pcm::SampleFormat;
use kvs_mkv::{
    Demuxer, FileWriter, FragmentTimecodes, Frame, FrameFlags, FrameOrderer, MkvEvent, Muxer, OrderConfig,
    Ordered, SegmentInfo, Timestamp, Track, TrackAdapter, TrackEntry, TrackSet,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["demux", input, data] => demux(input, data),
        ["file", input, output] => file(input, output),
        ["mux", tracks, index, data, prefix] => mux(tracks, index, data, prefix, None),
        ["mux", tracks, index, data, prefix, seconds] => {
            mux(tracks, index, data, prefix, Some(seconds.parse()?))
        }
        _ => Err(
            "usage: packets demux IN DATA | mux TRACKS INDEX DATA PREFIX [MAX_SECONDS] | file IN OUT".into(),
        ),
    }
}

fn demux(input: &str, data: &str) -> Result<()> {
    let mut input = File::open(input)?;
    let mut data = BufWriter::new(File::create(data)?);
    let mut index = BufWriter::new(std::io::stdout().lock());
    let mut demuxer = Demuxer::default();
    let mut scale = 1_000_000;
    loop {
        let mut chunk = vec![0; 65_536];
        let count = input.read(&mut chunk)?;
        chunk.truncate(count);
        match count {
            0 => demuxer.finish()?,
            _ => demuxer.push(Bytes::from(chunk)),
        }
        while let Some(event) = demuxer.poll()? {
            match event {
                MkvEvent::Info(info) => scale = info.timecode_scale,
                MkvEvent::Block(block) => {
                    let millis = i128::from(block.timecode) * i128::from(scale) / 1_000_000;
                    let key = u8::from(block.key);
                    writeln!(index, "{} {millis} {} {key}", block.track, block.data.len())?;
                    data.write_all(&block.data)?;
                }
                _ => {}
            }
        }
        if count == 0 {
            return Ok(());
        }
    }
}

fn file(input: &str, output: &str) -> Result<()> {
    let mut demuxer = Demuxer::default();
    demuxer.push(Bytes::from(fs::read(input)?));
    let mut output = File::create(output)?;
    let mut writer = None;
    let mut chunks: Vec<Bytes> = Vec::new();
    while let Some(event) = demuxer.poll()? {
        match (&event, &mut writer) {
            (MkvEvent::Tracks(entries), None) => {
                let tracks = entries
                    .iter()
                    .map(TrackEntry::to_track)
                    .collect::<std::result::Result<Vec<_>, _>>()?;
                let info = SegmentInfo::new([7; 16]);
                writer = Some(FileWriter::new(info, &TrackSet::new(tracks)?, &mut chunks)?);
            }
            (_, Some(writer)) => writer.event(&event, &mut chunks)?,
            (_, None) => {}
        }
        for chunk in chunks.drain(..) {
            output.write_all(&chunk)?;
        }
    }
    demuxer.finish()?;
    let patches = writer.ok_or("no tracks")?.finish(&mut chunks);
    for chunk in chunks.drain(..) {
        output.write_all(&chunk)?;
    }
    for patch in patches {
        output.seek(SeekFrom::Start(patch.offset))?;
        output.write_all(&patch.data)?;
    }
    Ok(())
}

fn track(number: u8, text: &str) -> Result<Track> {
    let (codec, private) = text
        .split_once('=')
        .map_or((text, None), |(codec, file)| (codec, Some(file)));
    let parts: Vec<&str> = codec.split(':').collect();
    let track = match parts.as_slice() {
        ["h264"] => Track::h264(),
        ["h265"] => Track::h265(),
        ["aac"] => Track::aac(),
        ["mjpeg"] => Track::mjpeg(),
        ["alaw", rate, channels] => Track::alaw(rate.parse()?, channels.parse()?)?,
        ["mulaw", rate, channels] => Track::mulaw(rate.parse()?, channels.parse()?)?,
        ["pcm", rate, channels, bits] => Track::pcm(
            SampleFormat::IntegerLittleEndian,
            rate.parse()?,
            channels.parse()?,
            bits.parse()?,
        )?,
        _ => return Err(format!("{codec} is no codec").into()),
    };
    let track = track.with_number(number).with_uid(u64::from(number));
    match private {
        Some(file) => Ok(track.with_codec_private(Bytes::from(fs::read(file)?))?),
        None => Ok(track),
    }
}

/// A session under way.
struct Session {
    muxer: Muxer,
    file: BufWriter<File>,
}

impl Session {
    fn write(&mut self, chunks: &mut Vec<Bytes>) -> Result<()> {
        for chunk in chunks.drain(..) {
            self.file.write_all(&chunk)?;
        }
        Ok(())
    }
}

fn mux(tracks: &str, index: &str, data: &str, prefix: &str, max_seconds: Option<u64>) -> Result<()> {
    let tracks = tracks
        .split(',')
        .zip(1u8..)
        .map(|(text, number)| track(number, text));
    let mut tracks = TrackSet::new(tracks.collect::<Result<Vec<_>>>()?)?;
    let mut adapters: Vec<_> = tracks
        .iter()
        .map(|track| (track.number, TrackAdapter::new(track)))
        .collect();
    let max_fragment = max_seconds.map_or(OrderConfig::default().max_fragment, Duration::from_secs);
    let mut orderer = FrameOrderer::new(
        &tracks,
        OrderConfig {
            max_fragment,
            ..OrderConfig::default()
        },
    );
    let mut data = File::open(data)?;
    let mut out = Output {
        prefix,
        sessions: 0,
        session: None,
        chunks: Vec::new(),
        frames: 0,
        fragments: 0,
        drops: Vec::new(),
    };
    for line in fs::read_to_string(index)?.lines() {
        let fields: Vec<i64> = line
            .split(' ')
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()?;
        let &[number, pts, dts, key, size] = fields.as_slice() else {
            return Err(format!("{line:?} is no packet").into());
        };
        let number = u8::try_from(number)?;
        let mut bytes = vec![0; usize::try_from(size)?];
        data.read_exact(&mut bytes)?;
        let frame = Frame::new(number, bytes)
            .dts(Timestamp::from_nanos(dts))
            .pts(Timestamp::from_nanos(pts))
            .key_if(key != 0);
        let adapter = adapters
            .iter_mut()
            .find(|(track, _)| *track == number)
            .ok_or("unknown track")?;
        let adapted = adapter.1.adapt(frame)?;
        if let Some(format) = adapted.format {
            if adapted.frame.flags.contains(FrameFlags::NEW_FORMAT) {
                // What is still held belongs to the old format.
                orderer.flush();
                out.drain(&mut orderer, &tracks)?;
            }
            tracks = tracks.with_format(number, format);
        }
        orderer.push(adapted.frame)?;
        if tracks.is_ready() {
            out.drain(&mut orderer, &tracks)?;
        }
    }
    orderer.flush();
    out.drain(&mut orderer, &tracks)?;
    if let Some(mut session) = out.session.take() {
        session.file.flush()?;
    }
    let drops: Vec<_> = out.drops.iter().map(|drop| format!("\"{drop}\"")).collect();
    writeln!(
        std::io::stdout(),
        "{{\"sessions\": {}, \"fragments\": {}, \"frames\": {}, \"drops\": [{}]}}",
        out.sessions,
        out.fragments,
        out.frames,
        drops.join(", ")
    )?;
    Ok(())
}

struct Output<'a> {
    prefix: &'a str,
    sessions: u32,
    session: Option<Session>,
    chunks: Vec<Bytes>,
    frames: u64,
    fragments: u64,
    drops: Vec<String>,
}

impl Output<'_> {
    fn drain(&mut self, orderer: &mut FrameOrderer, tracks: &TrackSet) -> Result<()> {
        while let Some(ordered) = orderer.poll() {
            match ordered {
                Ordered::Fragment(start) => {
                    if start.new_session {
                        self.open(&tracks.only(&start.tracks).ok_or("no tracks")?)?;
                    }
                    self.fragments += 1;
                    let session = self.session.as_mut().ok_or("no session")?;
                    session.muxer.start_fragment(start.timecode, &mut self.chunks)?;
                }
                Ordered::Frame(frame) => {
                    self.frames += 1;
                    let session = self.session.as_mut().ok_or("no session")?;
                    session.muxer.block(&frame, &mut self.chunks)?;
                }
                Ordered::FragmentEnd => {
                    let session = self.session.as_mut().ok_or("no session")?;
                    session.muxer.end_of_fragment(&mut self.chunks);
                }
                Ordered::Dropped { frame, reason } => {
                    self.drops.push(format!("track {} {reason:?}", frame.track));
                }
                _ => {}
            }
            if let Some(session) = &mut self.session {
                session.write(&mut self.chunks)?;
            }
        }
        Ok(())
    }

    fn open(&mut self, tracks: &TrackSet) -> Result<()> {
        if let Some(mut session) = self.session.take() {
            session.file.flush()?;
        }
        let file = BufWriter::new(File::create(format!("{}.{}.mkv", self.prefix, self.sessions))?);
        self.sessions += 1;
        let muxer = Muxer::new(SegmentInfo::new([7; 16]), tracks, FragmentTimecodes::Absolute)?;
        muxer.header(&mut self.chunks);
        let mut session = Session { muxer, file };
        session.write(&mut self.chunks)?;
        self.session = Some(session);
        Ok(())
    }
}
