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
    DescribeImageGenerationConfiguration "/describeImageGenerationConfiguration",
    UpdateImageGenerationConfiguration "/updateImageGenerationConfiguration",
    DescribeNotificationConfiguration "/describeNotificationConfiguration",
    UpdateNotificationConfiguration "/updateNotificationConfiguration",
    DescribeStreamStorageConfiguration "/describeStreamStorageConfiguration",
    UpdateStreamStorageConfiguration "/updateStreamStorageConfiguration",
    DescribeMappedResourceConfiguration "/describeMappedResourceConfiguration",
    DescribeMediaStorageConfiguration "/describeMediaStorageConfiguration",
    UpdateMediaStorageConfiguration "/updateMediaStorageConfiguration",
    StartEdgeConfigurationUpdate "/startEdgeConfigurationUpdate",
    DescribeEdgeConfiguration "/describeEdgeConfiguration",
    DeleteEdgeConfiguration "/deleteEdgeConfiguration",
    ListEdgeAgentConfigurations "/listEdgeAgentConfigurations",
    TagResource "/TagResource",
    UntagResource "/UntagResource",
    ListTagsForResource "/ListTagsForResource",
    CreateSignalingChannel "/createSignalingChannel",
    DeleteSignalingChannel "/deleteSignalingChannel",
    DescribeSignalingChannel "/describeSignalingChannel",
    GetSignalingChannelEndpoint "/getSignalingChannelEndpoint",
    ListSignalingChannels "/listSignalingChannels",
    UpdateSignalingChannel "/updateSignalingChannel",
    PutMedia "/putMedia",
    GetMedia "/getMedia",
    ListFragments "/listFragments",
    GetMediaForFragmentList "/getMediaForFragmentList",
    GetClip "/getClip",
    GetImages "/getImages",
    GetHLSStreamingSessionURL "/getHLSStreamingSessionURL",
    GetDASHStreamingSessionURL "/getDASHStreamingSessionURL",
}

impl Operation {
    /// Whether it is called at a data endpoint.
    pub fn is_data(self) -> bool {
        use Operation as O;
        matches!(
            self,
            O::PutMedia
                | O::GetMedia
                | O::ListFragments
                | O::GetMediaForFragmentList
                | O::GetClip
                | O::GetImages
                | O::GetHLSStreamingSessionURL
                | O::GetDASHStreamingSessionURL
        )
    }

    /// Whether this model of the service carries it out; the others answer
    /// `UnsupportedOperationException`: signaling channels, which are another service in all but name, and the
    /// operations that transcode or repackage media.
    pub fn is_supported(self) -> bool {
        use Operation as O;
        !matches!(
            self,
            O::CreateSignalingChannel
                | O::DeleteSignalingChannel
                | O::DescribeSignalingChannel
                | O::GetSignalingChannelEndpoint
                | O::ListSignalingChannels
                | O::UpdateSignalingChannel
                | O::GetClip
                | O::GetImages
                | O::GetHLSStreamingSessionURL
                | O::GetDASHStreamingSessionURL
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;

    #[test]
    fn every_path_leads_to_its_operation() {
        for &operation in Operation::ALL {
            assert_eq!(Operation::from_path(operation.path()), Some(operation));
            let name = operation.path().trim_start_matches('/');
            assert!(name.eq_ignore_ascii_case(operation.name()), "{name}");
        }
    }

    #[test]
    fn three_paths_begin_in_upper_case() {
        let upper = |operation: &&Operation| operation.path().as_bytes()[1].is_ascii_uppercase();
        let names: Vec<&str> = Operation::ALL.iter().filter(upper).map(|o| o.name()).collect();
        assert_eq!(names, ["TagResource", "UntagResource", "ListTagsForResource"]);
    }
}
