//! The elements a body showed last, to print around a violation.

use std::collections::VecDeque;
use std::fmt;

use kvs_mkv::MkvEvent;

/// Elements remembered.
const LENGTH: usize = 12;

/// The last elements of a body and where they ended.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    elements: VecDeque<(u64, Element)>,
}

/// An element, without what it holds.
#[derive(Debug, Clone, Copy)]
enum Element {
    Ebml,
    Segment,
    Info,
    Tracks(usize),
    Cluster,
    Timecode(u64),
    Block {
        track: u64,
        timecode: i64,
        key: bool,
        len: usize,
    },
    Tags(usize),
    End,
}

impl Trail {
    pub(crate) fn note(&mut self, offset: u64, event: &MkvEvent) {
        let element = match event {
            MkvEvent::EbmlHeader(_) => Element::Ebml,
            MkvEvent::SegmentStart => Element::Segment,
            MkvEvent::Info(_) => Element::Info,
            MkvEvent::Tracks(tracks) => Element::Tracks(tracks.len()),
            MkvEvent::ClusterStart => Element::Cluster,
            MkvEvent::ClusterTimecode(timecode) => Element::Timecode(*timecode),
            MkvEvent::Block(block) => Element::Block {
                track: block.track,
                timecode: block.timecode,
                key: block.key,
                len: block.data.len(),
            },
            MkvEvent::Tags(tags) => Element::Tags(tags.len()),
            _ => Element::End,
        };
        if self.elements.len() == LENGTH {
            self.elements.pop_front();
        }
        self.elements.push_back((offset, element));
    }

    /// One line per element, indented as the tree they form.
    pub(crate) fn lines(&self) -> Vec<String> {
        let shown = self
            .elements
            .iter()
            .filter(|(_, element)| !matches!(element, Element::End));
        shown
            .map(|(offset, element)| format!("{:>10}  {element}", format!("..{offset}")))
            .collect()
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Ebml => f.write_str("EBML"),
            Element::Segment => f.write_str("Segment"),
            Element::Info => f.write_str("  Info"),
            Element::Tracks(count) => write!(f, "  Tracks ({count})"),
            Element::Cluster => f.write_str("  Cluster"),
            Element::Timecode(timecode) => write!(f, "    Timecode {timecode}"),
            Element::Block {
                track,
                timecode,
                key,
                len,
            } => {
                write!(
                    f,
                    "    Block track {track} at {timecode}, {len} bytes{}",
                    if *key { ", key" } else { "" }
                )
            }
            Element::Tags(count) => write!(f, "  Tags ({count})"),
            Element::End => Ok(()),
        }
    }
}
