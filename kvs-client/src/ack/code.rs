//! The error codes of ERROR acks.

/// One row of the table: variant, number, name.
macro_rules! codes {
    ($( $(#[$doc:meta])* $variant:ident = $id:literal, $name:literal; )*) => {
        /// An error code the service documents (PutMedia API reference, "Error codes", and the quotas page).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum AckErrorCode {
            $( $(#[$doc])* $variant, )*
            /// A fragment is shorter than the service takes. The quotas page names it without a number.
            MinFragmentDurationReached,
        }

        impl AckErrorCode {
            /// Every code with a number.
            pub const NUMBERED: &'static [Self] = &[$( Self::$variant, )*];

            /// The number, where the service documents one.
            pub const fn id(self) -> Option<u32> {
                match self {
                    $( Self::$variant => Some($id), )*
                    Self::MinFragmentDurationReached => None,
                }
            }

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $name, )*
                    Self::MinFragmentDurationReached => "MIN_FRAGMENT_DURATION_REACHED",
                }
            }
        }
    };
}

codes! {
    /// The service could not read the media from the connection.
    StreamReadError = 4000, "STREAM_READ_ERROR";
    /// The fragment is larger than 50 MB.
    MaxFragmentSizeReached = 4001, "MAX_FRAGMENT_SIZE_REACHED";
    /// The fragment is longer than allowed.
    MaxFragmentDurationReached = 4002, "MAX_FRAGMENT_DURATION_REACHED";
    /// The connection is older than allowed (45 minutes).
    MaxConnectionDurationReached = 4003, "MAX_CONNECTION_DURATION_REACHED";
    /// The fragment's timecode isn't after that of the fragment before it.
    FragmentTimecodeLesserThanPrevious = 4004, "FRAGMENT_TIMECODE_LESSER_THAN_PREVIOUS";
    /// More than one track, in the words of the days when one was the limit.
    MoreThanOneTrackFound = 4005, "MORE_THAN_ONE_TRACK_FOUND";
    /// The bytes are not the Matroska the service takes.
    InvalidMkvData = 4006, "INVALID_MKV_DATA";
    /// The producer timestamp is out of range.
    InvalidProducerTimestamp = 4007, "INVALID_PRODUCER_TIMESTAMP";
    /// The stream is no longer active.
    StreamNotActive = 4008, "STREAM_NOT_ACTIVE";
    /// Too many tags, or too long ones, in a fragment.
    FragmentMetadataLimitReached = 4009, "FRAGMENT_METADATA_LIMIT_REACHED";
    /// A frame is of a track that the header doesn't declare.
    TrackNumberMismatch = 4010, "TRACK_NUMBER_MISMATCH";
    /// A declared track has no frame in the fragment.
    FramesMissingForTrack = 4011, "FRAMES_MISSING_FOR_TRACK";
    /// More than three tracks.
    MoreThanAllowedTracksFound = 4012, "MORE_THAN_ALLOWED_TRACKS_FOUND";
    /// The service may not use the stream's key.
    KmsKeyAccessDenied = 4500, "KMS_KEY_ACCESS_DENIED";
    /// The stream's key is disabled.
    KmsKeyDisabled = 4501, "KMS_KEY_DISABLED";
    /// The stream's key can't be validated.
    KmsKeyValidationError = 4502, "KMS_KEY_VALIDATION_ERROR";
    /// The stream's key is unavailable.
    KmsKeyUnavailable = 4503, "KMS_KEY_UNAVAILABLE";
    /// The stream's key can't be used for this.
    KmsKeyInvalidUsage = 4504, "KMS_KEY_INVALID_USAGE";
    /// The stream's key is in a state in which it can't be used.
    KmsKeyInvalidState = 4505, "KMS_KEY_INVALID_STATE";
    /// The stream's key doesn't exist.
    KmsKeyNotFound = 4506, "KMS_KEY_NOT_FOUND";
    /// The stream was deleted.
    StreamDeleted = 4507, "STREAM_DELETED";
    /// The service failed.
    InternalError = 5000, "INTERNAL_ERROR";
    /// The service could not store the fragment.
    ArchivalError = 5001, "ARCHIVAL_ERROR";
}

impl AckErrorCode {
    /// The code of this number.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::NUMBERED.iter().copied().find(|code| code.id() == Some(id))
    }

    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = Self::NUMBERED
            .iter()
            .copied()
            .chain([Self::MinFragmentDurationReached]);
        all.into_iter().find(|code| code.name() == name)
    }
}
