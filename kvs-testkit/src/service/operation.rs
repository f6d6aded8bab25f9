//! The operations of the API and the paths they live at.

use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($name:ident $path:literal,)+) => {
        /// An operation of the Kinesis Video Streams API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Operation {
            $(#[doc = concat!("`POST ", $path, "`")] $name,)+
        }

        impl Operation {
            /// Every operation.
            pub const ALL: &'static [Operation] = &[$(Operation::$name),+];

            /// The operation at a request path.
            pub fn from_path(path: &str) -> Option<Operation> {
                match path {
                    $($path => Some(Operation::$name),)+
                    _ => None,
                }
            }

            /// The path it lives at.
            pub fn path(self) -> &'static str {
                match self {
                    $(Operation::$name => $path,)+
                }
            }

            /// The name in the API reference.
            pub fn name(self) -> &'static str {
                match self {
                    $(Operation::$name => stringify!($name),)+
                }
            }
        }
    };
}

// The paths are those of the service's API models; only three of them begin in upper case.
operations! {
    CreateStream "/createStream",
    DescribeStream "/describeStream",
    UpdateStream "/updateStream",
    DeleteStream "/deleteStream",
    ListStreams "/listStreams",
    GetDataEndpoint "/getDataEndpoint",
    UpdateDataRetention "/updateDataRetention",
    TagStream "/tagStream",
    UntagStream "/untagStream",
    ListTagsForStream "/listTagsForStream",
    PutMedia "/putMedia",
    GetMedia "/getMedia",
    ListFragments "/listFragments",
    GetMediaForFragmentList "/getMediaForFragmentList",
}

impl Operation {
    /// Whether it is called at a data endpoint.
    pub fn is_data(self) -> bool {
        use Operation as O;
        matches!(
            self,
            O::PutMedia | O::GetMedia | O::ListFragments | O::GetMediaForFragmentList
        )
    }
}
