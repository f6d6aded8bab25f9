//! Where the control plane of a region is.
//!
//! Sources: "Amazon Kinesis Video Streams endpoints and quotas" in the AWS general reference, and the DNS
//! suffixes of the AWS partitions as the AWS SDKs publish them.

use url::Url;

use crate::{ClientError, ClientErrorKind};

/// The region used where none is set, as in the other producers for this service.
pub const DEFAULT_REGION: &str = "us-west-2";

/// Which of a region's hosts to talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EndpointVariant {
    /// The usual host: IPv4, and FIPS-validated where the region has no other (GovCloud and the isolated
    /// regions).
    #[default]
    Standard,
    /// The FIPS-validated host.
    Fips,
    /// The host with IPv4 and IPv6 addresses, under another domain. Never chosen unless asked for.
    DualStack,
    /// Both.
    FipsDualStack,
}

impl EndpointVariant {
    fn is_fips(self) -> bool {
        matches!(self, Self::Fips | Self::FipsDualStack)
    }

    fn is_dual_stack(self) -> bool {
        matches!(self, Self::DualStack | Self::FipsDualStack)
    }
}

/// A family of regions under one pair of domains.
struct Partition {
    prefix: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
    /// Whether its regions have FIPS hosts only.
    fips: Fips,
}

#[derive(PartialEq)]
enum Fips {
    Always,
    OnRequest,
}

/// The first whose prefix fits; the last fits all.
const PARTITIONS: &[Partition] = &[
    Partition {
        prefix: "cn-",
        suffix: "amazonaws.com.cn",
        dual_stack_suffix: "api.amazonwebservices.com.cn",
        fips: Fips::OnRequest,
    },
    Partition {
        prefix: "us-gov-",
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        fips: Fips::Always,
    },
    Partition {
        prefix: "us-iso-",
        suffix: "c2s.ic.gov",
        dual_stack_suffix: "api.aws.ic.gov",
        fips: Fips::Always,
    },
    Partition {
        prefix: "us-isob-",
        suffix: "sc2s.sgov.gov",
        dual_stack_suffix: "api.aws.scloud",
        fips: Fips::Always,
    },
    Partition {
        prefix: "us-isof-",
        suffix: "csp.hci.ic.gov",
        dual_stack_suffix: "api.aws.hci.ic.gov",
        fips: Fips::OnRequest,
    },
    Partition {
        prefix: "eu-isoe-",
        suffix: "cloud.adc-e.uk",
        dual_stack_suffix: "api.cloud-aws.adc-e.uk",
        fips: Fips::OnRequest,
    },
    Partition {
        prefix: "eusc-",
        suffix: "amazonaws.eu",
        dual_stack_suffix: "api.amazonwebservices.eu",
        fips: Fips::OnRequest,
    },
    Partition {
        prefix: "",
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
        fips: Fips::OnRequest,
    },
];

/// The control-plane URL of a region.
///
/// ```
/// use kvs_client::{EndpointVariant, control_endpoint};
///
/// let url = control_endpoint("us-west-2", EndpointVariant::Standard)?;
/// assert_eq!(url.as_str(), "https://kinesisvideo.us-west-2.amazonaws.com/");
/// # Ok::<(), kvs_client::ClientError>(())
/// ```
///
/// # Errors
///
/// [`Configuration`](ClientErrorKind::Configuration) if the region isn't made of `a-z`, `0-9` and `-`.
pub fn control_endpoint(region: &str, variant: EndpointVariant) -> Result<Url, ClientError> {
    let invalid = || {
        ClientError::new(
            ClientErrorKind::Configuration,
            format!("region {region:?} is not a region name"),
        )
    };
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || region.starts_with('-') || region.ends_with('-') || !region.bytes().all(is_label)
    {
        return Err(invalid());
    }
    let partition = PARTITIONS
        .iter()
        .find(|partition| region.starts_with(partition.prefix))
        .ok_or_else(invalid)?;
    let fips = if variant.is_fips() || partition.fips == Fips::Always {
        "-fips"
    } else {
        ""
    };
    let suffix = if variant.is_dual_stack() {
        partition.dual_stack_suffix
    } else {
        partition.suffix
    };
    Url::parse(&format!("https://kinesisvideo{fips}.{region}.{suffix}"))
        .map_err(|source| invalid().with_source(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(region: &str, variant: EndpointVariant) -> String {
        let url = control_endpoint(region, variant).expect("is a region");
        assert_eq!(url.scheme(), "https");
        url.host_str().expect("has a host").to_owned()
    }

    #[test]
    fn every_partition_has_its_hosts() {
        use EndpointVariant::{DualStack, Fips, FipsDualStack, Standard};
        for (region, variant, expected) in [
            ("us-west-2", Standard, "kinesisvideo.us-west-2.amazonaws.com"),
            ("us-west-2", Fips, "kinesisvideo-fips.us-west-2.amazonaws.com"),
            ("us-west-2", DualStack, "kinesisvideo.us-west-2.api.aws"),
            ("us-west-2", FipsDualStack, "kinesisvideo-fips.us-west-2.api.aws"),
            (
                "eu-central-1",
                Standard,
                "kinesisvideo.eu-central-1.amazonaws.com",
            ),
            (
                "ap-southeast-2",
                Standard,
                "kinesisvideo.ap-southeast-2.amazonaws.com",
            ),
            (
                "us-gov-west-1",
                Standard,
                "kinesisvideo-fips.us-gov-west-1.amazonaws.com",
            ),
            (
                "us-gov-west-1",
                DualStack,
                "kinesisvideo-fips.us-gov-west-1.api.aws",
            ),
            ("cn-north-1", Standard, "kinesisvideo.cn-north-1.amazonaws.com.cn"),
            (
                "cn-northwest-1",
                DualStack,
                "kinesisvideo.cn-northwest-1.api.amazonwebservices.com.cn",
            ),
            (
                "us-iso-east-1",
                Standard,
                "kinesisvideo-fips.us-iso-east-1.c2s.ic.gov",
            ),
            (
                "us-iso-east-1",
                DualStack,
                "kinesisvideo-fips.us-iso-east-1.api.aws.ic.gov",
            ),
            (
                "us-isob-east-1",
                Standard,
                "kinesisvideo-fips.us-isob-east-1.sc2s.sgov.gov",
            ),
            (
                "us-isob-east-1",
                DualStack,
                "kinesisvideo-fips.us-isob-east-1.api.aws.scloud",
            ),
            (
                "us-isof-south-1",
                Standard,
                "kinesisvideo.us-isof-south-1.csp.hci.ic.gov",
            ),
            (
                "eu-isoe-west-1",
                Standard,
                "kinesisvideo.eu-isoe-west-1.cloud.adc-e.uk",
            ),
            (
                "eusc-de-east-1",
                Standard,
                "kinesisvideo.eusc-de-east-1.amazonaws.eu",
            ),
        ] {
            assert_eq!(host(region, variant), expected, "{region} {variant:?}");
        }
    }

    #[test]
    fn the_default_is_never_dual_stack() {
        assert!(!host(DEFAULT_REGION, EndpointVariant::default()).contains("api.aws"));
    }

    #[test]
    fn what_is_no_region_is_refused() {
        for region in ["", "us west", "evil.example/", "US-WEST-2", "-", "a@b"] {
            let error = control_endpoint(region, EndpointVariant::Standard).expect_err("refused");

            assert_eq!(error.kind(), ClientErrorKind::Configuration, "{region}");
        }
    }
}
