//! Frames out of a body of media.

use std::time::Duration;

use kvs_mkv::{
    Block, DemuxLimits, Demuxer, Frame, FrameFlags, MkvEvent, SimpleTag, TimecodeScale, TrackEntry,
};

use crate::{ClientError, ClientErrorKind, MediaBody};

/// What the service writes into the tags of a fragment begins with this.
const SERVICE_TAG: &str = "AWS_KINESISVIDEO_";

/// What comes out of a body of media, in the order of the wire.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// The tracks of what follows. Comes again with every fragment, as the service sends it.
    Tracks(Vec<TrackEntry>),
    /// Tags, of the service or of the producer.
    Tags(FragmentTags),
    /// A fragment starts.
    FragmentStart,
    /// A frame. Matroska carries no decoding times; they equal the presentation times.
    Frame(Frame),
    /// The fragment is complete.
    FragmentEnd,
}

/// A set of tags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FragmentTags(pub Vec<SimpleTag>);

impl FragmentTags {
    /// The value of a tag.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|tag| tag.name == name)
            .map(|tag| tag.value.as_str())
    }

    /// The number the service gave the fragment.
    pub fn fragment_number(&self) -> Option<&str> {
        self.get("AWS_KINESISVIDEO_FRAGMENT_NUMBER")
    }

    /// Where a later GetMedia can go on.
    pub fn continuation_token(&self) -> Option<&str> {
        self.get("AWS_KINESISVIDEO_CONTINUATION_TOKEN")
    }

    /// When the fragment was produced, since the epoch, to the millisecond. GetMedia and
    /// GetMediaForFragmentList name it differently.
    pub fn producer_timestamp(&self) -> Option<Duration> {
        self.time([
            "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP",
            "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP",
        ])
    }

    /// When the service received the fragment, since the epoch, to the millisecond.
    pub fn server_timestamp(&self) -> Option<Duration> {
        self.time([
            "AWS_KINESISVIDEO_SERVER_TIMESTAMP",
            "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP",
        ])
    }

    /// How far behind live the reader is; zero when it has caught up.
    pub fn behind_now(&self) -> Option<Duration> {
        self.get("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW")?
            .trim()
            .parse()
            .ok()
            .map(Duration::from_millis)
    }

    /// Why the service could not go on.
    pub fn error_code(&self) -> Option<&str> {
        self.get("AWS_KINESISVIDEO_ERROR_CODE")
    }

    /// The tags that the producer wrote.
    pub fn of_producer(&self) -> impl Iterator<Item = &SimpleTag> {
        self.0.iter().filter(|tag| !tag.name.starts_with(SERVICE_TAG))
    }

    /// `1704164645.007`, or the same without a fraction.
    fn time(&self, names: [&str; 2]) -> Option<Duration> {
        let text = names.into_iter().find_map(|name| self.get(name))?;
        let (seconds, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let millis = format!("{fraction:0<3}");
        let millis: u64 = millis.get(..3)?.parse().ok()?;
        Some(Duration::from_secs(seconds.parse().ok()?) + Duration::from_millis(millis))
    }
}

/// Demuxes a [`MediaBody`] as it arrives.
///
/// ```no_run
/// # async fn example(body: kvs_client::MediaBody) -> Result<(), kvs_client::ClientError> {
/// use kvs_client::consumer::{ConsumerEvent, FrameReader};
///
/// let mut frames = FrameReader::new(body);
/// while let Some(event) = frames.next().await {
///     if let ConsumerEvent::Frame(frame) = event? {
///         println!("track {} at {} ms: {} bytes", frame.track, frame.pts.as_millis(), frame.data.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FrameReader {
    body: MediaBody,
    demuxer: Demuxer,
    scale: TimecodeScale,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Reading,
    /// The body has ended; the demuxer may still hold events.
    Draining,
    Over,
}

impl FrameReader {
    /// Reads frames from a body.
    pub fn new(body: MediaBody) -> Self {
        Self {
            body,
            demuxer: Demuxer::new(DemuxLimits::default()),
            scale: TimecodeScale::MILLISECOND,
            state: State::Reading,
        }
    }

    /// The next event; `None` at the end of the media and after an error. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// As [`MediaBody::next`]; [`Protocol`](ClientErrorKind::Protocol) if the media isn't Matroska.
    pub async fn next(&mut self) -> Option<Result<ConsumerEvent, ClientError>> {
        loop {
            match self.demuxer.poll() {
                Ok(Some(event)) => match self.translate(event) {
                    Ok(None) => continue,
                    Ok(Some(event)) => return Some(Ok(event)),
                    Err(error) => return self.fail(error),
                },
                Ok(None) => {}
                Err(source) => return self.fail(malformed(source)),
            }
            match self.state {
                State::Over => return None,
                State::Draining => {
                    self.state = State::Over;
                    continue;
                }
                State::Reading => {}
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.demuxer.push(bytes),
                Some(Err(error)) => return self.fail(error),
                None => {
                    self.state = State::Draining;
                    if let Err(source) = self.demuxer.finish() {
                        return self.fail(malformed(source));
                    }
                }
            }
        }
    }

    fn fail(&mut self, error: ClientError) -> Option<Result<ConsumerEvent, ClientError>> {
        if self.state == State::Over {
            return None;
        }
        self.state = State::Over;
        Some(Err(error))
    }

    fn translate(&mut self, event: MkvEvent) -> Result<Option<ConsumerEvent>, ClientError> {
        Ok(match event {
            MkvEvent::Info(info) => {
                self.scale = TimecodeScale::new(info.timecode_scale).map_err(malformed)?;
                None
            }
            MkvEvent::Tracks(tracks) => Some(ConsumerEvent::Tracks(tracks)),
            MkvEvent::Tags(tags) => Some(ConsumerEvent::Tags(FragmentTags(tags))),
            MkvEvent::ClusterStart => Some(ConsumerEvent::FragmentStart),
            MkvEvent::ClusterEnd => Some(ConsumerEvent::FragmentEnd),
            MkvEvent::Block(block) => Some(ConsumerEvent::Frame(self.frame(block)?)),
            _ => None,
        })
    }

    fn frame(&self, block: Block) -> Result<Frame, ClientError> {
        let track = u8::try_from(block.track).map_err(malformed)?;
        let mut flags = FrameFlags::NONE;
        for (set, flag) in [
            (block.discardable, FrameFlags::DISCARDABLE),
            (block.invisible, FrameFlags::INVISIBLE),
        ] {
            if set {
                flags = flags.with(flag);
            }
        }
        let frame = Frame::new(track, block.data)
            .pts(self.scale.from_units(block.timecode))
            .key_if(block.key)
            .flags(flags);
        Ok(match block.duration {
            Some(units) => frame.duration(Duration::from_nanos(units.saturating_mul(self.scale.as_nanos()))),
            None => frame,
        })
    }
}

fn malformed(source: impl std::error::Error + Send + Sync + 'static) -> ClientError {
    ClientError::new(
        ClientErrorKind::Protocol,
        format!("the media can't be read: {source}"),
    )
    .with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> FragmentTags {
        let tag = |(name, value): &(&str, &str)| SimpleTag {
            name: (*name).into(),
            value: (*value).into(),
        };
        FragmentTags(pairs.iter().map(tag).collect())
    }

    #[test]
    fn timestamps_are_read_under_either_name_with_any_number_of_decimals() {
        for (name, value) in [
            ("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", "1704164645.007"),
            ("AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP", "1704164645.0079"),
        ] {
            assert_eq!(
                tags(&[(name, value)]).producer_timestamp(),
                Some(Duration::from_millis(1_704_164_645_007))
            );
        }
        let short = tags(&[("AWS_KINESISVIDEO_SERVER_TIMESTAMP", "12.5")]);
        assert_eq!(short.server_timestamp(), Some(Duration::from_millis(12_500)));
        for broken in ["", "x", "1.é", "-1.0"] {
            assert_eq!(
                tags(&[("AWS_KINESISVIDEO_SERVER_TIMESTAMP", broken)]).server_timestamp(),
                None,
                "{broken}"
            );
        }
    }

    #[test]
    fn the_producers_tags_are_told_from_the_services() {
        let tags = tags(&[("AWS_KINESISVIDEO_FRAGMENT_NUMBER", "7"), ("motion", "yes")]);

        assert_eq!(tags.fragment_number(), Some("7"));
        assert_eq!(
            tags.of_producer()
                .map(|tag| tag.name.as_str())
                .collect::<Vec<_>>(),
            ["motion"]
        );
    }
}
