//! What an ERROR acknowledgement means for the fragment it names and for the stream: one table.

use serde::Serialize;

/// What becomes of the fragment that the error names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FragmentFate {
    /// The content can't be taken, now or later: the fragment is set aside as refused.
    Refuse,
    /// A fresh session may cure it: it is sent once more, and set aside when it is refused again.
    ResendOnce,
    /// Nothing is wrong with the content: it is sent again.
    Resend,
}

/// What the stream does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// Open a new session as soon as the connect spacing allows; the host is known to be alive.
    Reopen,
    /// Back off, then open a new session.
    BackOff,
    /// Back off, then look at the stream again (`DescribeStream`) before a new session.
    Redescribe,
    /// No session can ever succeed with these tracks: the stream ends with a typed error.
    Fatal,
}

/// The reaction to one error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reaction {
    /// The number of the error; `0` stands for every number that is not in the table.
    pub code: u32,
    /// The service's name of the error.
    pub name: &'static str,
    /// What becomes of the fragment.
    pub fragment: FragmentFate,
    /// What the stream does next.
    pub next: NextStep,
}

const fn reaction(code: u32, name: &'static str, fragment: FragmentFate, next: NextStep) -> Reaction {
    Reaction {
        code,
        name,
        fragment,
        next,
    }
}

/// Every error acknowledgement of the `PutMedia` API page, and our reaction.
///
/// Errors of the encryption key are the operator's to mend, so media is kept and the stream keeps asking.
pub const REACTIONS: [Reaction; 24] = {
    use FragmentFate::{Refuse, Resend, ResendOnce};
    use NextStep::{BackOff, Fatal, Redescribe, Reopen};
    [
        reaction(4000, "STREAM_READ_ERROR", Resend, Reopen),
        reaction(4001, "MAX_FRAGMENT_SIZE_REACHED", Refuse, Reopen),
        reaction(4002, "MAX_FRAGMENT_DURATION_REACHED", Refuse, Reopen),
        reaction(4003, "MAX_CONNECTION_DURATION_REACHED", Resend, Reopen),
        // The order of timecodes is checked per connection, so a new one may accept it.
        reaction(4004, "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS", ResendOnce, Reopen),
        reaction(4005, "MORE_THAN_ONE_TRACK_FOUND", Refuse, Fatal),
        reaction(4006, "INVALID_MKV_DATA", ResendOnce, Reopen),
        reaction(4007, "INVALID_PRODUCER_TIMESTAMP", Refuse, Reopen),
        reaction(4008, "STREAM_NOT_ACTIVE", Resend, Redescribe),
        reaction(4009, "FRAGMENT_METADATA_LIMIT_REACHED", Refuse, Reopen),
        // A new session sends new Tracks.
        reaction(4010, "TRACK_NUMBER_MISMATCH", ResendOnce, Reopen),
        reaction(4011, "FRAMES_MISSING_FOR_TRACK", Refuse, Reopen),
        reaction(4012, "MORE_THAN_ALLOWED_TRACKS_FOUND", Refuse, Fatal),
        reaction(4500, "KMS_KEY_ACCESS_DENIED", Resend, Redescribe),
        reaction(4501, "KMS_KEY_DISABLED", Resend, Redescribe),
        reaction(4502, "KMS_KEY_VALIDATION_ERROR", Resend, Redescribe),
        reaction(4503, "KMS_KEY_UNAVAILABLE", Resend, Redescribe),
        reaction(4504, "KMS_KEY_INVALID_USAGE", Resend, Redescribe),
        reaction(4505, "KMS_KEY_INVALID_STATE", Resend, Redescribe),
        reaction(4506, "KMS_KEY_NOT_FOUND", Resend, Redescribe),
        reaction(4507, "STREAM_DELETED", Resend, Redescribe),
        reaction(5000, "INTERNAL_ERROR", Resend, BackOff),
        reaction(5001, "ARCHIVAL_ERROR", Resend, BackOff),
        // The quotas page names this one without a number.
        reaction(0, "MIN_FRAGMENT_DURATION_REACHED", Refuse, Reopen),
    ]
};

/// The reaction to an error acknowledgement, found by number, else by name, else by the number's class.
#[must_use]
pub fn reaction_to(id: Option<u32>, name: Option<&str>) -> Reaction {
    let by_number = id.and_then(|id| REACTIONS.iter().find(|known| known.code == id && known.code != 0));
    let by_name = || name.and_then(|name| REACTIONS.iter().find(|known| known.name == name));
    if let Some(known) = by_number.or_else(by_name) {
        return *known;
    }
    // Numbers below 5000 speak of the request, those from 5000 on of the service.
    match id {
        Some(id) if id < 5000 => reaction(id, "UNKNOWN", FragmentFate::ResendOnce, NextStep::BackOff),
        _ => reaction(
            id.unwrap_or(0),
            "UNKNOWN",
            FragmentFate::Resend,
            NextStep::BackOff,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_has_two_reactions() {
        for (index, one) in REACTIONS.iter().enumerate() {
            for other in &REACTIONS[index + 1..] {
                assert!(
                    one.name != other.name && (one.code == 0 || one.code != other.code),
                    "{one:?}"
                );
            }
        }
    }

    #[test]
    fn a_nameless_number_and_a_numberless_name_are_both_found() {
        assert_eq!(reaction_to(Some(4006), None).name, "INVALID_MKV_DATA");
        assert_eq!(
            reaction_to(None, Some("MIN_FRAGMENT_DURATION_REACHED")).fragment,
            FragmentFate::Refuse
        );
    }

    #[test]
    fn an_unknown_error_of_the_service_keeps_the_media() {
        assert_eq!(
            reaction_to(Some(5999), Some("NEW")).fragment,
            FragmentFate::Resend
        );
        assert_eq!(reaction_to(None, None).fragment, FragmentFate::Resend);
        assert_eq!(reaction_to(Some(4999), None).fragment, FragmentFate::ResendOnce);
    }
}
