//! Golden vectors for each step of a signature, so that a failure says which step is wrong.
//!
//! Sources: the worked example of the AWS IAM user guide (`ListUsers`), and the vectors AWS publishes as its
//! signing test suite (`get-vanilla` and its like); both use the key pair and the moment below.

use http::{HeaderMap, HeaderName, HeaderValue};
use kvs_auth::{
    Secret,
    canonical::{self, CanonicalRequest, CredentialScope, EMPTY_PAYLOAD_HASH, SigningTime},
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const MOMENT: &str = "20150830T123600Z";

struct Vector {
    name: &'static str,
    service: &'static str,
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    signed_headers: &'static str,
    canonical: &'static str,
    canonical_hash: Option<&'static str>,
    signature: &'static str,
}

const VECTORS: &[Vector] = &[
    Vector {
        name: "iam list users",
        service: "iam",
        target: "/?Action=ListUsers&Version=2010-05-08",
        headers: &[
            ("host", "iam.amazonaws.com"),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("x-amz-date", MOMENT),
        ],
        signed_headers: "content-type;host;x-amz-date",
        canonical: "GET\n/\nAction=ListUsers&Version=2010-05-08\n\
                    content-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\n\
                    x-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n\
                    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        canonical_hash: Some("f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"),
        signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    },
    Vector {
        name: "get-vanilla",
        service: "service",
        target: "/",
        headers: &[("host", "example.amazonaws.com"), ("x-amz-date", MOMENT)],
        signed_headers: "host;x-amz-date",
        canonical: "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n\
                    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        canonical_hash: Some("bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63"),
        signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    },
    Vector {
        name: "get-vanilla-query-order-encoded",
        service: "service",
        target: "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        headers: &[("host", "example.amazonaws.com"), ("x-amz-date", MOMENT)],
        signed_headers: "host;x-amz-date",
        canonical: "GET\n/\n%E1%88%B4=Value1&Param=Value2&Param-3=Value3\nhost:example.amazonaws.com\n\
                    x-amz-date:20150830T123600Z\n\nhost;x-amz-date\n\
                    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        canonical_hash: None,
        signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    },
    Vector {
        name: "get-header-value-trim",
        service: "service",
        target: "/",
        headers: &[
            ("host", "example.amazonaws.com"),
            ("my-header1", " value1"),
            ("my-header2", " \"a   b   c\""),
            ("x-amz-date", MOMENT),
        ],
        signed_headers: "host;my-header1;my-header2;x-amz-date",
        canonical: "GET\n/\n\nhost:example.amazonaws.com\nmy-header1:value1\nmy-header2:\"a b c\"\n\
                    x-amz-date:20150830T123600Z\n\nhost;my-header1;my-header2;x-amz-date\n\
                    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        canonical_hash: None,
        signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    },
    Vector {
        name: "get-header-key-duplicate",
        service: "service",
        target: "/",
        headers: &[
            ("host", "example.amazonaws.com"),
            ("my-header1", "value2"),
            ("my-header1", "value2"),
            ("my-header1", "value1"),
            ("x-amz-date", MOMENT),
        ],
        signed_headers: "host;my-header1;x-amz-date",
        canonical: "GET\n/\n\nhost:example.amazonaws.com\nmy-header1:value2,value2,value1\n\
                    x-amz-date:20150830T123600Z\n\nhost;my-header1;x-amz-date\n\
                    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        canonical_hash: None,
        signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    },
    Vector {
        name: "get-slashes-normalized",
        service: "service",
        target: "//example//",
        headers: &[("host", "example.amazonaws.com"), ("x-amz-date", MOMENT)],
        signed_headers: "host;x-amz-date",
        canonical: "GET\n/example/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n\
                    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        canonical_hash: None,
        signature: "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    },
];

fn canonical_request(vector: &Vector) -> CanonicalRequest {
    let headers: HeaderMap = vector
        .headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    CanonicalRequest::new(
        "GET",
        vector.target,
        &headers,
        vector.signed_headers,
        EMPTY_PAYLOAD_HASH,
    )
    .expect("every signed header is there")
}

fn scope(vector: &Vector) -> CredentialScope {
    CredentialScope {
        date: "20150830".into(),
        region: "us-east-1".into(),
        service: vector.service.into(),
    }
}

fn moment() -> SigningTime {
    SigningTime::parse(MOMENT).expect("parses")
}

#[test]
fn requests_become_their_canonical_form() {
    for vector in VECTORS {
        let canonical = canonical_request(vector);

        assert_eq!(
            String::from_utf8_lossy(canonical.as_bytes()),
            vector.canonical,
            "{}",
            vector.name
        );
    }
}

#[test]
fn canonical_requests_become_the_string_to_sign() {
    for vector in VECTORS {
        let Some(hash) = vector.canonical_hash else {
            continue;
        };

        let string = canonical_request(vector).string_to_sign(moment(), &scope(vector));

        let scope = format!("20150830/us-east-1/{}/aws4_request", vector.service);
        assert_eq!(
            string,
            format!("AWS4-HMAC-SHA256\n{MOMENT}\n{scope}\n{hash}"),
            "{}",
            vector.name
        );
    }
}

#[test]
fn strings_to_sign_become_the_signature() {
    for vector in VECTORS {
        let string = canonical_request(vector).string_to_sign(moment(), &scope(vector));

        let signature = canonical::signature(&Secret::new(SECRET), moment(), &scope(vector), &string);

        assert_eq!(signature, vector.signature, "{}", vector.name);
    }
}

#[test]
fn a_signed_header_that_is_not_there_is_named() {
    let missing = CanonicalRequest::new(
        "GET",
        "/",
        &HeaderMap::new(),
        "host;x-amz-date",
        EMPTY_PAYLOAD_HASH,
    );

    assert_eq!(missing, Err("host"));
}
