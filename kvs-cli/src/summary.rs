//! What an upload came to.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

/// What an upload came to, for people ([`fmt::Display`]) and as JSON. Times count from the start of the process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) stream: String,
    /// Frames that the stream accepted.
    pub(crate) frames_in: u64,
    /// Accepted frames that are not delivered: dropped, refused, not confirmed or still held.
    pub(crate) frames_dropped: u64,
    pub(crate) fragments_sent: u64,
    pub(crate) fragments_received: u64,
    pub(crate) fragments_persisted: u64,
    /// Payload bytes that the stream accepted.
    pub(crate) bytes: u64,
    /// PutMedia requests that the service answered with 200.
    pub(crate) sessions: u64,
    #[serde(rename = "first_ack_ms", serialize_with = "millis")]
    pub(crate) first_ack: Option<Duration>,
    #[serde(rename = "first_persisted_ms", serialize_with = "millis")]
    pub(crate) first_persisted: Option<Duration>,
    #[serde(serialize_with = "seconds")]
    pub(crate) seconds: Duration,
    pub(crate) frames_delivered: u64,
    /// Frames that are not delivered, by what became of them.
    pub(crate) drops: BTreeMap<String, u64>,
    /// Tracks of the file that can't be sent.
    pub(crate) tracks_skipped: usize,
    /// Frames read back and found equal; nothing where the stream was not read back.
    pub(crate) frames_verified: Option<u64>,
}

/// When the process began, as near as it can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessStart(Instant);

impl ProcessStart {
    /// To be called first of all in `main`: the system's own record of a process's start is coarser (10 ms on Linux)
    /// than the time that passes before `main`.
    pub(crate) fn now() -> ProcessStart {
        ProcessStart(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Summary {
    /// The object as one line.
    pub(crate) fn to_json(&self) -> String {
        // Strings, numbers and maps of them can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stream      {}", self.stream)?;
        write!(
            f,
            "frames      {} in, {} delivered, {} dropped",
            self.frames_in, self.frames_delivered, self.frames_dropped
        )?;
        if !self.drops.is_empty() {
            let drops: Vec<_> = self
                .drops
                .iter()
                .map(|(what, frames)| format!("{what}: {frames}"))
                .collect();
            write!(f, " ({})", drops.join(", "))?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "fragments   {} sent, {} received, {} persisted",
            self.fragments_sent, self.fragments_received, self.fragments_persisted
        )?;
        writeln!(f, "bytes       {}", self.bytes)?;
        writeln!(f, "sessions    {}", self.sessions)?;
        writeln!(
            f,
            "first       {} acknowledged, {} persisted",
            at(self.first_ack),
            at(self.first_persisted)
        )?;
        if let Some(frames) = self.frames_verified {
            writeln!(f, "read back   {frames} frames, equal byte for byte")?;
        }
        write!(f, "time        {:.2} s", self.seconds.as_secs_f64())
    }
}

fn at(moment: Option<Duration>) -> String {
    moment.map_or("never".into(), |moment| {
        format!("after {:.1} ms", to_millis(moment))
    })
}

fn to_millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

fn millis<S: Serializer>(moment: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    moment.map(to_millis).serialize(serializer)
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    ((duration.as_secs_f64() * 1000.0).round() / 1000.0).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            stream: "cam".into(),
            frames_in: 10,
            frames_dropped: 3,
            fragments_sent: 2,
            fragments_received: 2,
            fragments_persisted: 1,
            bytes: 1000,
            sessions: 1,
            first_ack: Some(Duration::from_micros(12_340)),
            first_persisted: None,
            seconds: Duration::from_millis(1500),
            frames_delivered: 7,
            drops: BTreeMap::from([("refused".into(), 1), ("still held".into(), 2)]),
            tracks_skipped: 0,
            frames_verified: None,
        }
    }

    #[test]
    fn the_json_has_the_agreed_keys() {
        let json: serde_json::Value = serde_json::from_str(&summary().to_json()).unwrap();
        for key in [
            "stream",
            "frames_in",
            "frames_dropped",
            "fragments_sent",
            "fragments_received",
        ] {
            assert!(!json[key].is_null(), "{key}");
        }
        assert_eq!(json["fragments_persisted"], 1);
        assert_eq!(json["first_ack_ms"], 12.3);
        assert!(json.as_object().unwrap().contains_key("first_persisted_ms"));
        assert_eq!(json["seconds"], 1.5);
        assert_eq!(json["tracks_skipped"], 0);
        assert!(!summary().to_json().contains('\n'));
    }

    #[test]
    fn people_read_why_frames_are_missing() {
        let text = summary().to_string();
        assert!(
            text.contains("10 in, 7 delivered, 3 dropped (refused: 1, still held: 2)"),
            "{text}"
        );
        assert!(
            text.contains("first       after 12.3 ms acknowledged, never persisted"),
            "{text}"
        );
    }
}
