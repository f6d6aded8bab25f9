//! `kvs spool`: what a spool directory holds.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use kvs_actors::{StoredTracks, stored_frame};
use kvs_mkv::{FileWriter, SegmentInfo, Timestamp, TrackSet};
use kvs_storage::spool::inspect::{self, StreamInspection};
use kvs_storage::{ItemFlags, StoreError};
use serde_json::json;

use crate::cli::SpoolCommand;
use crate::error::{CliError, Failure};
use crate::output;

/// Runs the command.
pub(crate) fn run(command: &SpoolCommand) -> Result<(), CliError> {
    match command {
        SpoolCommand::Ls { dir, json } => list(dir, *json),
        SpoolCommand::Verify { dir, json } => verify(dir, *json),
        SpoolCommand::Export { dir, stream, out } => export(dir, stream, out),
    }
}

pub(crate) fn spool_error(error: StoreError) -> CliError {
    CliError::new(Failure::Spool, error)
}

fn streams(dir: &Path) -> Result<Vec<StreamInspection>, CliError> {
    let names = inspect::streams(dir).map_err(spool_error)?;
    names
        .iter()
        .map(|name| StreamInspection::open(dir, name).map_err(spool_error))
        .collect()
}

fn list(dir: &Path, as_json: bool) -> Result<(), CliError> {
    for stream in streams(dir)? {
        let fragments = stream.fragments();
        let items: u64 = fragments.iter().map(|fragment| u64::from(fragment.items)).sum();
        let bytes: u64 = fragments.iter().map(|fragment| fragment.bytes).sum();
        let from = fragments.iter().map(|fragment| fragment.timecode).min();
        let to = fragments.iter().map(|fragment| fragment.end_pts).max();
        if as_json {
            let millis = |nanos: Option<i64>| nanos.map(|nanos| nanos / 1_000_000);
            output::line(json!({
                "stream": stream.name(),
                "fragments": fragments.len(),
                "frames": items,
                "bytes": bytes,
                "from_ms": millis(from),
                "to_ms": millis(to),
                "disk_bytes": stream.disk_bytes(),
                "damaged": !stream.report().is_clean(),
            }))?;
        } else {
            let seconds = from.zip(to).map_or(0, |(from, to)| (to - from) / 1_000_000_000);
            let (name, disk) = (stream.name(), stream.disk_bytes());
            output::line(format!(
                "{name}: {} fragments, {items} frames, {bytes} bytes over {seconds} s to deliver; {disk} bytes on disk",
                fragments.len()
            ))?;
        }
    }
    Ok(())
}

fn verify(dir: &Path, as_json: bool) -> Result<(), CliError> {
    let mut damaged = Vec::new();
    for stream in streams(dir)? {
        let found = stream.verify().map_err(spool_error)?;
        let is_whole = found.damaged_items == 0 && found.garbage_bytes == 0;
        if as_json {
            output::line(json!({
                "stream": stream.name(),
                "whole_frames": found.whole_items,
                "whole_bytes": found.whole_bytes,
                "damaged_frames": found.damaged_items,
                "garbage_bytes": found.garbage_bytes,
            }))?;
        } else {
            let (name, frames, bytes) = (stream.name(), found.whole_items, found.whole_bytes);
            let (lost, garbage) = (found.damaged_items, found.garbage_bytes);
            output::line(format!(
                "{name}: {frames} frames of {bytes} bytes whole, {lost} frames damaged, {garbage} bytes of garbage"
            ))?;
        }
        if !is_whole {
            damaged.push(stream.name().to_owned());
        }
    }
    if damaged.is_empty() {
        return Ok(());
    }
    Err(CliError::new(
        Failure::Spool,
        format!("damaged: {}", damaged.join(", ")),
    ))
}

fn export(dir: &Path, name: &str, out: &Path) -> Result<(), CliError> {
    if !inspect::streams(dir)
        .map_err(spool_error)?
        .iter()
        .any(|known| known == name)
    {
        return Err(CliError::new(
            Failure::StreamNotFound,
            format!("the spool has no stream {name}"),
        ));
    }
    let stream = StreamInspection::open(dir, name).map_err(spool_error)?;
    let blob = stream.blob(StoredTracks::BLOB).map_err(spool_error)?;
    let stored = blob.map(StoredTracks::decode).unwrap_or_default();
    let mut current: Option<Export> = None;
    let mut files = 0;
    for item in stream.items() {
        let item = item.map_err(spool_error)?;
        let tracks = stored.at(item.meta.seq).ok_or_else(|| {
            CliError::new(
                Failure::Spool,
                format!("the tracks of frame {} are lost", item.meta.seq),
            )
        })?;
        if current.as_ref().is_none_or(|export| export.tracks != tracks) {
            if let Some(export) = current.take() {
                export.finish()?;
            }
            files += 1;
            current = Some(Export::create(numbered(out, files), tracks)?);
        }
        if let Some(export) = &mut current {
            export.item(&item)?;
        }
    }
    match current {
        Some(export) => export.finish(),
        None => Err(CliError::new(
            Failure::Spool,
            format!("nothing is left of stream {name}"),
        )),
    }
}

/// `clip.mkv`, `clip-2.mkv`, …
fn numbered(out: &Path, file: u32) -> PathBuf {
    if file == 1 {
        return out.to_owned();
    }
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    let ending = out
        .extension()
        .map(|ending| format!(".{}", ending.to_string_lossy()))
        .unwrap_or_default();
    out.with_file_name(format!("{stem}-{file}{ending}"))
}

/// One file being written.
struct Export {
    path: PathBuf,
    tracks: Arc<TrackSet>,
    writer: FileWriter,
    out: BufWriter<File>,
    chunks: Vec<Bytes>,
}

impl Export {
    fn create(path: PathBuf, tracks: Arc<TrackSet>) -> Result<Self, CliError> {
        let out = BufWriter::new(File::create(&path).map_err(|error| cannot_write(&path, &error))?);
        let mut chunks = Vec::new();
        let info = SegmentInfo::new(fastrand::u128(1..).to_be_bytes());
        let writer = FileWriter::new(info, &tracks, &mut chunks).map_err(CliError::unexpected)?;
        Ok(Export {
            path,
            tracks,
            writer,
            out,
            chunks,
        })
    }

    fn item(&mut self, item: &kvs_storage::Item) -> Result<(), CliError> {
        if item.meta.flags.contains(ItemFlags::FRAGMENT_START) {
            let time = Timestamp::from_nanos(item.meta.pts);
            self.writer
                .cluster(time, &mut self.chunks)
                .map_err(CliError::unexpected)?;
        }
        let frame = stored_frame(&item.meta, item.payload.clone());
        self.writer
            .frame(&frame, &mut self.chunks)
            .map_err(CliError::unexpected)?;
        self.write()
    }

    fn write(&mut self) -> Result<(), CliError> {
        for chunk in self.chunks.drain(..) {
            self.out
                .write_all(&chunk)
                .map_err(|error| cannot_write(&self.path, &error))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), CliError> {
        let mut chunks = std::mem::take(&mut self.chunks);
        let patches = self.writer.finish(&mut chunks);
        let write = |out: &mut BufWriter<File>| -> std::io::Result<()> {
            for chunk in &chunks {
                out.write_all(chunk)?;
            }
            for patch in &patches {
                out.seek(SeekFrom::Start(patch.offset))?;
                out.write_all(&patch.data)?;
            }
            out.flush()
        };
        write(&mut self.out).map_err(|error| cannot_write(&self.path, &error))?;
        output::line(self.path.display())
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> CliError {
    CliError::unexpected(format!("{}: {error}", path.display()))
}
