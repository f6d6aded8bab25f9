//! The events of a GetMedia body, gathered into fragments.

use kvs_client::consumer::ConsumerEvent;
use kvs_mkv::Frame;

/// A fragment as the service gives it back.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// The service's number.
    pub(crate) number: String,
    pub(crate) frames: Vec<Frame>,
}

/// Gathers events. The service's tags may stand before a fragment's frames or after them.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    number: Option<String>,
    frames: Vec<Frame>,
}

impl Gathering {
    /// Takes the next event. Gives the fragment before, where another one begins: each has a header of its own.
    pub(crate) fn take_in(&mut self, event: ConsumerEvent) -> Option<Fragment> {
        match event {
            ConsumerEvent::Tracks(_) => return self.take(),
            ConsumerEvent::Tags(tags) => {
                if let Some(number) = tags.fragment_number() {
                    self.number = Some(number.to_owned());
                }
            }
            ConsumerEvent::Frame(frame) => self.frames.push(frame),
            _ => {}
        }
        None
    }

    /// The fragment under way, if it is `number` and has that many frames already. A body goes on without end, so nothing
    /// says of its last fragment that it is over.
    pub(crate) fn take_last(&mut self, number: &str, frames: u64) -> Option<Fragment> {
        let is_whole = self.number.as_deref() == Some(number) && self.frames.len() as u64 >= frames;
        if is_whole { self.take() } else { None }
    }

    fn take(&mut self) -> Option<Fragment> {
        let frames = std::mem::take(&mut self.frames);
        Some(Fragment {
            number: self.number.take()?,
            frames,
        })
    }
}

#[cfg(test)]
mod tests {
    use kvs_client::consumer::FragmentTags;
    use kvs_mkv::SimpleTag;

    use super::*;

    fn number(value: &str) -> ConsumerEvent {
        let tag = SimpleTag {
            name: "AWS_KINESISVIDEO_FRAGMENT_NUMBER".into(),
            value: value.into(),
        };
        ConsumerEvent::Tags(FragmentTags(vec![tag]))
    }

    fn frame() -> ConsumerEvent {
        ConsumerEvent::Frame(Frame::video(vec![1]))
    }

    #[test]
    fn tags_belong_to_their_fragment_before_and_after_its_frames() {
        for events in [[number("7"), frame(), frame()], [frame(), frame(), number("7")]] {
            let mut gathering = Gathering::default();
            assert!(gathering.take_in(ConsumerEvent::Tracks(vec![])).is_none());
            for event in events {
                assert!(gathering.take_in(event).is_none());
            }
            let fragment = gathering.take_in(ConsumerEvent::Tracks(vec![])).unwrap();
            assert_eq!((fragment.number.as_str(), fragment.frames.len()), ("7", 2));
        }
    }

    #[test]
    fn the_last_fragment_is_whole_when_nothing_is_missing() {
        let mut gathering = Gathering::default();
        gathering.take_in(number("7"));
        gathering.take_in(frame());
        assert!(gathering.take_last("7", 2).is_none());
        gathering.take_in(frame());
        assert!(gathering.take_last("8", 2).is_none());
        assert!(gathering.take_last("7", 2).is_some());
    }
}
