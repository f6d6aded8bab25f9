//! What the signer adds to a request, and what it keeps to itself.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use kvs_auth::{
    AuthErrorKind, Credentials, PayloadHash, SignRequest, Signer, Verifier, VerifyBody, VerifyRequest,
    canonical::SigningTime,
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn moment() -> SystemTime {
    SigningTime::parse("20240102T030405Z")
        .expect("parses")
        .system_time()
}

fn temporary() -> Credentials {
    Credentials::new("AKIDEXAMPLE", SECRET, Some("the-token".into()), None, "test")
}

fn put_media_headers() -> HeaderMap {
    [
        ("x-amzn-stream-name", "front-door"),
        ("x-amzn-fragment-timecode-type", "ABSOLUTE"),
        ("x-amzn-fragment-acknowledgment-required", "1"),
        ("transfer-encoding", "chunked"),
        ("connection", "keep-alive"),
        ("user-agent", "kvs"),
    ]
    .into_iter()
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
    .collect()
}

fn sign(uri: &str, headers: &HeaderMap, payload: PayloadHash<'_>, credentials: &Credentials) -> HeaderMap {
    let uri: Uri = uri.parse().expect("parses");
    let request = SignRequest {
        method: &Method::POST,
        uri: &uri,
        headers,
        payload,
    };
    Signer::new("us-west-2")
        .sign(&request, credentials, moment())
        .expect("signs")
        .into_iter()
        .collect()
}

#[test]
fn put_media_is_signed_over_an_empty_body_with_its_token() {
    let added = sign(
        "https://s-1.kinesisvideo.us-west-2.amazonaws.com/putMedia",
        &put_media_headers(),
        PayloadHash::Empty,
        &temporary(),
    );

    // Computed with plain HMAC over the canonical request.
    let authorization = added["authorization"].to_str().expect("ascii");
    assert_eq!(
        authorization,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20240102/us-west-2/kinesisvideo/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-security-token;x-amzn-fragment-acknowledgment-required;\
         x-amzn-fragment-timecode-type;x-amzn-stream-name, \
         Signature=661863546be367cb264252c0109c0569469f875031d8bf4b57213fef698271d2"
    );
    assert_eq!(added["x-amz-date"], "20240102T030405Z");
    assert_eq!(added["x-amz-security-token"], "the-token");
    assert_eq!(added["host"], "s-1.kinesisvideo.us-west-2.amazonaws.com");
    assert!(!added.contains_key("x-amz-content-sha256"));
}

#[test]
fn what_is_signed_verifies_with_every_kind_of_payload_hash() {
    let credentials = temporary();
    let mut verifier = Verifier::new(Some("us-west-2".into()));
    verifier.accept(&credentials);
    let body = br#"{"StreamName":"front-door"}"#;
    for (payload, received) in [
        (PayloadHash::Body(body), VerifyBody::Bytes(body)),
        (PayloadHash::Empty, VerifyBody::Streaming),
        (PayloadHash::Unsigned, VerifyBody::Streaming),
        (PayloadHash::Unsigned, VerifyBody::Bytes(body)),
        (
            PayloadHash::Precomputed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            VerifyBody::Streaming,
        ),
    ] {
        let mut headers = put_media_headers();
        headers.extend(sign(
            "http://127.0.0.1:4567/a%20b/c?x=1&y=a%20b",
            &headers,
            payload,
            &credentials,
        ));

        let request = VerifyRequest {
            method: &Method::POST,
            target: "/a%20b/c?x=1&y=a%20b",
            headers: &headers,
            body: received,
        };
        verifier
            .verify(&request, moment())
            .unwrap_or_else(|error| panic!("{payload:?}: {error}"));
    }
}

#[test]
fn the_host_loses_its_port_only_if_it_is_the_default() {
    for (uri, host) in [
        ("https://example.com/", "example.com"),
        ("https://example.com:443/", "example.com"),
        ("http://example.com:80/", "example.com"),
        ("http://example.com:443/", "example.com:443"),
        ("http://127.0.0.1:4567/", "127.0.0.1:4567"),
        ("http://[::1]:4567/", "[::1]:4567"),
    ] {
        let added = sign(uri, &HeaderMap::new(), PayloadHash::Empty, &temporary());

        assert_eq!(added["host"], host, "{uri}");
    }
}

#[test]
fn what_cannot_be_signed_is_an_error_of_its_own_kind() {
    let absolute: Uri = "https://example.com/".parse().expect("parses");
    let relative: Uri = "/putMedia".parse().expect("parses");
    let plain = HeaderMap::new();
    let binary: HeaderMap = [(
        HeaderName::from_static("x-name"),
        HeaderValue::from_bytes(b"\xff").expect("valid"),
    )]
    .into_iter()
    .collect();
    let broken = Credentials::new("AKID\n", SECRET, None, None, "test");
    let keys = temporary();
    let year_10000 = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    let before_1970 = UNIX_EPOCH - Duration::from_secs(1);

    for (uri, headers, credentials, at, kind) in [
        (&relative, &plain, &keys, moment(), AuthErrorKind::RelativeUri),
        (&absolute, &binary, &keys, moment(), AuthErrorKind::InvalidHeader),
        (
            &absolute,
            &plain,
            &keys,
            year_10000,
            AuthErrorKind::TimeOutOfRange,
        ),
        (
            &absolute,
            &plain,
            &keys,
            before_1970,
            AuthErrorKind::TimeOutOfRange,
        ),
        (
            &absolute,
            &plain,
            &broken,
            moment(),
            AuthErrorKind::InvalidCredentials,
        ),
    ] {
        let request = SignRequest {
            method: &Method::POST,
            uri,
            headers,
            payload: PayloadHash::Empty,
        };

        let error = Signer::new("us-west-2")
            .sign(&request, credentials, at)
            .expect_err("refused");

        assert_eq!(error.kind(), kind, "{error}");
    }
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_secret_token_or_signature_is_logged_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();

    let signature = tracing::subscriber::with_default(subscriber, || {
        let credentials = temporary();
        let mut headers = put_media_headers();
        headers.extend(sign(
            "https://example.com/putMedia",
            &headers,
            PayloadHash::Empty,
            &credentials,
        ));
        // Signing once more, with the signature's own headers given, must not bring them into the log either.
        headers.extend(sign(
            "https://example.com/putMedia",
            &headers,
            PayloadHash::Empty,
            &credentials,
        ));
        let mut verifier = Verifier::new(None);
        verifier.accept(&credentials);
        let request = VerifyRequest {
            method: &Method::POST,
            target: "/putMedia",
            headers: &headers,
            body: VerifyBody::Streaming,
        };
        verifier.verify(&request, moment()).expect("verifies");
        tracing::error!(?headers, ?credentials, ?verifier, "everything");
        let authorization = headers["authorization"].to_str().expect("ascii").to_owned();
        authorization
            .rsplit('=')
            .next()
            .expect("has a signature")
            .to_owned()
    });

    let bytes = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("everything"));
    for secret in [SECRET, "the-token", signature.as_str()] {
        assert!(!text.contains(secret), "{text}");
    }
}
