//! Requests as clients of the service sign them. The signatures were computed outside this project: those of
//! the AWS SDK for Python with botocore 1.44.5, the others with plain HMAC over the canonical request that
//! the client builds.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use kvs_auth::{
    Credentials, Secret, Verifier, VerifyBody, VerifyError, VerifyErrorKind, VerifyRequest,
    canonical::SigningTime,
};
use proptest::prelude::*;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const MOMENT: &str = "20240102T030405Z";

/// A received request that can be changed before it is verified.
#[derive(Clone)]
struct Received {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Option<&'static [u8]>,
}

impl Received {
    fn post(target: &str, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).expect("valid"),
                )
            })
            .collect();
        Self {
            method: Method::POST,
            target: target.to_owned(),
            headers,
            body: None,
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers
            .insert(name, HeaderValue::from_str(value).expect("valid"));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    fn verify_with(&self, verifier: &Verifier, now: SystemTime) -> Result<(), VerifyError> {
        let body = self.body.map_or(VerifyBody::Streaming, VerifyBody::Bytes);
        let request = VerifyRequest {
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
            body,
        };
        let identity = verifier.verify(&request, now)?;
        assert_eq!(
            (identity.access_key_id.as_str(), identity.region.as_str()),
            (ID, "us-west-2")
        );
        Ok(())
    }

    fn verify(&self) -> Result<(), VerifyErrorKind> {
        self.verify_with(&verifier(), moment())
            .map_err(|error| error.kind())
    }
}

fn verifier() -> Verifier {
    Verifier::new(Some("us-west-2".into())).with_credentials(ID, Secret::new(SECRET))
}

fn moment() -> SystemTime {
    SigningTime::parse(MOMENT).expect("parses").system_time()
}

fn authorization(signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ID}/20240102/us-west-2/kinesisvideo/aws4_request, \
         SignedHeaders={signed_headers}, Signature={signature}"
    )
}

/// The C producer signs hop-by-hop headers, leaves the session token out, and names the host without its
/// port.
fn c_producer() -> Received {
    Received::post(
        "/putMedia",
        &[
            (
                "authorization",
                &authorization(
                    "connection;host;transfer-encoding;user-agent;x-amz-date;x-amzn-fragment-acknowledgment-required;\
                     x-amzn-fragment-timecode-type;x-amzn-producer-start-timestamp;x-amzn-stream-name",
                    "c7524629ba1a949df36c56f146ebb08f4f8d7f535c04168914a7d3e2a549d75d",
                ),
            ),
            ("connection", "keep-alive"),
            ("content-type", "application/json"),
            ("host", "127.0.0.1"),
            ("transfer-encoding", "chunked"),
            ("user-agent", "AWS-SDK-KVS/1.6.4 GCC/12.2.0 Linux/6.1.0 x86_64"),
            ("x-amz-date", MOMENT),
            ("x-amz-security-token", "added-after-signing"),
            ("x-amzn-fragment-acknowledgment-required", "1"),
            ("x-amzn-fragment-timecode-type", "ABSOLUTE"),
            ("x-amzn-producer-start-timestamp", "1704164645.7"),
            ("x-amzn-stream-name", "front-door"),
        ],
    )
}

/// The Java producer claims a literal instead of a hash and signs the token.
fn java_producer(claim: &str, signature: &str) -> Received {
    Received::post(
        "/putMedia",
        &[
            (
                "authorization",
                &authorization(
                    "host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amzn-fragment-timecode-type;\
                     x-amzn-stream-name",
                    signature,
                ),
            ),
            ("host", "127.0.0.1:8443"),
            ("x-amz-content-sha256", claim),
            ("x-amz-date", MOMENT),
            ("x-amz-security-token", "the-token"),
            ("x-amzn-fragment-timecode-type", "RELATIVE"),
            ("x-amzn-stream-name", "front-door"),
        ],
    )
}

fn boto3() -> Received {
    let request = Received::post(
        "/describeStream",
        &[
            (
                "authorization",
                &authorization(
                    "content-type;host;x-amz-date;x-amz-security-token",
                    "ccc66ffa6102d488f87f7638671969d977204171c5b1f32764c1e5dd4f16583c",
                ),
            ),
            ("content-type", "application/json"),
            ("host", "127.0.0.1:4567"),
            ("user-agent", "Boto3/1"),
            ("x-amz-date", MOMENT),
            ("x-amz-security-token", "the/token=+"),
        ],
    );
    Received {
        body: Some(br#"{"StreamName": "front-door"}"#),
        ..request
    }
}

fn presigned() -> Received {
    let target = "/hls?b=x%20y&a=1&X-Amz-Algorithm=AWS4-HMAC-SHA256\
                  &X-Amz-Credential=AKIDEXAMPLE%2F20240102%2Fus-west-2%2Fkinesisvideo%2Faws4_request\
                  &X-Amz-Date=20240102T030405Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
                  &X-Amz-Security-Token=the%2Ftoken%3D%2B\
                  &X-Amz-Signature=3c13110593074455354814d140c7f74bcd43ceba2666d6c9dcf843b110a874f9";
    let request = Received::post(target, &[("host", "example.com")]);
    Received {
        method: Method::GET,
        body: Some(b""),
        ..request
    }
}

#[test]
fn the_c_producer_verifies() {
    assert_eq!(c_producer().verify(), Ok(()));
}

#[test]
fn the_java_producer_verifies_with_either_literal() {
    for (claim, signature) in [
        (
            "UNSIGNED-PAYLOAD",
            "ec424d6e188c618f8f636ec58b1b1f1fc83f69bec47f9d7607b3c6a97eb22a83",
        ),
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "d4886f109d452b2bbc859e000e81f5f015d73072c76fb69888e0f00e8069d787",
        ),
    ] {
        assert_eq!(java_producer(claim, signature).verify(), Ok(()), "{claim}");
    }
}

#[test]
fn the_python_sdk_verifies() {
    assert_eq!(boto3().verify(), Ok(()));
}

#[test]
fn a_presigned_query_verifies_until_it_expires() {
    let verify = |seconds| presigned().verify_with(&verifier(), moment() + Duration::from_secs(seconds));

    assert_eq!(verify(900), Ok(()));
    assert_eq!(verify(901).expect_err("refused").kind(), VerifyErrorKind::Expired);
}

#[test]
fn any_change_to_what_was_signed_is_noticed() {
    for (what, changed) in [
        (
            "method",
            Received {
                method: Method::PUT,
                ..boto3()
            },
        ),
        (
            "path",
            Received {
                target: "/createStream".into(),
                ..boto3()
            },
        ),
        (
            "query",
            Received {
                target: "/describeStream?a=1".into(),
                ..boto3()
            },
        ),
        ("header", boto3().with("content-type", "text/plain")),
        ("token", boto3().with("x-amz-security-token", "other")),
        ("missing header", boto3().without("content-type")),
        (
            "body",
            Received {
                body: Some(b"{}"),
                ..boto3()
            },
        ),
        ("stream", c_producer().with("x-amzn-stream-name", "back-door")),
        (
            "claim",
            java_producer("UNSIGNED-PAYLOAD", "").with("x-amz-content-sha256", "other"),
        ),
        (
            "presigned query",
            Received {
                target: presigned().target.replace("a=1", "a=2"),
                ..presigned()
            },
        ),
    ] {
        assert_eq!(
            changed.verify(),
            Err(VerifyErrorKind::SignatureMismatch),
            "{what}"
        );
    }
}

#[test]
fn an_unsigned_header_may_change() {
    assert_eq!(boto3().with("user-agent", "proxy").verify(), Ok(()));
    assert_eq!(c_producer().without("x-amz-security-token").verify(), Ok(()));
}

#[test]
fn a_clock_is_tolerated_up_to_the_limit_either_way() {
    let limit = Duration::from_secs(300);
    let second = Duration::from_secs(1);
    let verify = |now| {
        boto3()
            .verify_with(&verifier(), now)
            .map_err(|error| error.kind())
    };

    assert_eq!(verify(moment() + limit), Ok(()));
    assert_eq!(verify(moment() - limit), Ok(()));
    assert_eq!(verify(moment() + limit + second), Err(VerifyErrorKind::Expired));
    assert_eq!(
        verify(moment() - limit - second),
        Err(VerifyErrorKind::NotYetCurrent)
    );
}

#[test]
fn the_scope_must_be_this_service_region_and_day() {
    let authorization = boto3().headers["authorization"]
        .to_str()
        .expect("ascii")
        .to_owned();
    for (from, to) in [
        ("kinesisvideo", "kinesis"),
        ("us-west-2", "eu-west-1"),
        ("20240102/", "20240103/"),
    ] {
        let changed = boto3().with("authorization", &authorization.replace(from, to));

        assert_eq!(changed.verify(), Err(VerifyErrorKind::WrongScope), "{to}");
    }
}

#[test]
fn a_verifier_without_region_takes_any() {
    let anywhere = Verifier::new(None).with_credentials(ID, SECRET);

    assert_eq!(boto3().verify_with(&anywhere, moment()), Ok(()));
}

#[test]
fn unknown_and_revoked_keys_are_refused() {
    let mut verifier = verifier();
    verifier.revoke(ID);

    let error = boto3().verify_with(&verifier, moment()).expect_err("refused");

    assert_eq!((error.kind(), error.status()), (VerifyErrorKind::UnknownKey, 403));
}

#[test]
fn another_secret_is_a_mismatch() {
    let other = Verifier::new(None).with_credentials(ID, "other");

    let error = boto3().verify_with(&other, moment()).expect_err("refused");

    assert_eq!(
        (error.kind(), error.error_type()),
        (VerifyErrorKind::SignatureMismatch, "InvalidSignatureException")
    );
}

#[test]
fn temporary_keys_need_their_token_and_end_with_it() {
    let verify = |token: &str, seconds| {
        let expiry = moment() + Duration::from_secs(seconds);
        let mut verifier = Verifier::new(None);
        verifier.accept(&Credentials::new(
            ID,
            SECRET,
            Some(token.to_owned()),
            Some(expiry),
            "test",
        ));
        boto3()
            .verify_with(&verifier, moment())
            .map_err(|error| error.kind())
    };

    assert_eq!(verify("the/token=+", 1), Ok(()));
    assert_eq!(verify("another", 1), Err(VerifyErrorKind::InvalidToken));
    assert_eq!(verify("the/token=+", 0), Err(VerifyErrorKind::TokenExpired));
}

#[test]
fn host_and_date_must_be_signed() {
    for signed in ["x-amz-date", "host"] {
        let changed = boto3().with("authorization", &authorization(signed, "00"));

        assert_eq!(
            changed.verify(),
            Err(VerifyErrorKind::IncompleteSignature),
            "{signed}"
        );
    }
}

#[test]
fn incomplete_authorizations_are_told_from_missing_ones() {
    for (text, kind) in [
        ("Bearer x", VerifyErrorKind::IncompleteSignature),
        ("AWS4-HMAC-SHA256", VerifyErrorKind::IncompleteSignature),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c",
            VerifyErrorKind::IncompleteSignature,
        ),
        ("", VerifyErrorKind::IncompleteSignature),
    ] {
        assert_eq!(boto3().with("authorization", text).verify(), Err(kind), "{text}");
    }
    assert_eq!(
        boto3().without("authorization").verify(),
        Err(VerifyErrorKind::MissingAuthentication)
    );
    assert_eq!(
        boto3().without("x-amz-date").verify(),
        Err(VerifyErrorKind::IncompleteSignature)
    );
}

proptest! {
    #[test]
    fn no_authorization_makes_the_verifier_panic(
        authorization in "(AWS4-HMAC-SHA256 )?(Credential=[ -~]{0,40}(/[ -~]{0,4}){0,5}, ?)?(SignedHeaders=[a-z;\\-]{0,20}, ?)?(Signature=[0-9a-f]{0,4})?",
        target in "/[ -~]{0,20}(\\?[!-~]{0,40})?",
        date in "[0-9TZ]{0,17}",
    ) {
        let request = boto3().with("authorization", &authorization).with("x-amz-date", &date);
        let request = Received { target, ..request };

        prop_assert!(request.verify().is_err());
    }
}
