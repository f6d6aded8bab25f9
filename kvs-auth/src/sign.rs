//! Signing requests, over `aws-sigv4`.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, USER_AGENT},
};

use crate::{AuthError, AuthErrorKind, SERVICE};

/// Headers that the signature itself brings; what a caller put there is replaced.
const X_AMZ_DATE: &str = "x-amz-date";
const X_AMZ_SECURITY_TOKEN: &str = "x-amz-security-token";
const X_AMZ_CONTENT_SHA256: &str = "x-amz-content-sha256";

/// The end of the year 9999, past which a date no longer has the eight digits of a credential scope.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_799);

/// What the signature says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadHash<'a> {
    /// The SHA-256 of these bytes: control-plane calls and GetMedia.
    Body(&'a [u8]),
    /// The SHA-256 of the empty string, whatever the body: PutMedia.
    Empty,
    /// The literal `UNSIGNED-PAYLOAD`, which is also sent as `x-amz-content-sha256`.
    Unsigned,
    /// A hash or literal computed elsewhere, which is also sent as `x-amz-content-sha256`.
    Precomputed(&'a str),
}

/// The parts of a request that a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct SignRequest<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The absolute URI, percent-encoded as it will be sent.
    pub uri: &'a Uri,
    /// The headers of the request. All are signed except those that a proxy or the HTTP layer may change
    /// (`connection`, `content-length`, `expect`, `transfer-encoding`, `user-agent`).
    pub headers: &'a HeaderMap,
    /// What the signature says about the body.
    pub payload: PayloadHash<'a>,
}

/// Signs requests to Kinesis Video Streams in one region.
///
/// See the [crate documentation](crate) for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    region: String,
}

impl Signer {
    /// A signer for a region such as `us-west-2`.
    pub fn new(region: impl Into<String>) -> Self {
        Self {
            region: region.into(),
        }
    }

    /// The region in the scope of the signatures.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Computes the headers that authenticate `request` at the time `at`: `authorization`, `x-amz-date`, for
    /// temporary credentials `x-amz-security-token` (which is signed too), `host` if the request has none,
    /// and `x-amz-content-sha256` where [`PayloadHash`] says so. They replace headers of the same name.
    ///
    /// # Errors
    ///
    /// [`AuthErrorKind::RelativeUri`] for a URI without authority, [`AuthErrorKind::InvalidHeader`] for a
    /// value that is not visible ASCII, [`AuthErrorKind::TimeOutOfRange`] outside 1970–9999, and
    /// [`AuthErrorKind::InvalidCredentials`] for keys no header can carry.
    pub fn sign(
        &self,
        request: &SignRequest<'_>,
        credentials: &Credentials,
        at: SystemTime,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, AuthError> {
        check_time(at)?;
        let host = host_of(request)?;

        let mut added = Vec::with_capacity(5);
        let mut signed: Vec<(&str, &str)> = Vec::with_capacity(request.headers.len() + 1);
        for (name, value) in request.headers {
            if is_replaced(name) || name == HOST {
                continue;
            }
            let value = value.to_str().map_err(|source| {
                AuthError::new(AuthErrorKind::InvalidHeader, name.as_str()).with_source(source)
            })?;
            signed.push((name.as_str(), value));
        }
        signed.push((HOST.as_str(), &host));

        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(at)
            .settings(settings(request.payload))
            .build()
            .map_err(|source| AuthError::new(AuthErrorKind::Signing, "").with_source(source))?
            .into();
        let signable = SignableRequest::new(
            request.method.as_str(),
            request.uri.to_string(),
            signed.into_iter(),
            signable_body(request.payload),
        )
        .map_err(|source| AuthError::new(AuthErrorKind::Signing, "").with_source(source))?;
        let (instructions, _) = sign(signable, &params)
            .map_err(|source| AuthError::new(AuthErrorKind::Signing, "").with_source(source))?
            .into_parts();

        for (name, value) in instructions.headers() {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|source| AuthError::new(AuthErrorKind::Signing, "").with_source(source))?;
            let mut value = HeaderValue::from_str(value).map_err(|source| {
                AuthError::new(AuthErrorKind::InvalidCredentials, "").with_source(source)
            })?;
            value.set_sensitive(name == AUTHORIZATION || name == X_AMZ_SECURITY_TOKEN);
            added.push((name, value));
        }
        if !request.headers.contains_key(HOST) {
            let host = HeaderValue::from_str(&host)
                .map_err(|source| AuthError::new(AuthErrorKind::RelativeUri, "").with_source(source))?;
            added.push((HOST, host));
        }
        Ok(added)
    }
}

fn is_replaced(name: &HeaderName) -> bool {
    name == AUTHORIZATION
        || name == X_AMZ_DATE
        || name == X_AMZ_SECURITY_TOKEN
        || name == X_AMZ_CONTENT_SHA256
}

fn check_time(at: SystemTime) -> Result<(), AuthError> {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) if since <= END_OF_TIME => Ok(()),
        _ => Err(AuthError::new(AuthErrorKind::TimeOutOfRange, "")),
    }
}

/// The `Host` as it goes on the wire: the caller's, else the authority without user information and default
/// port (RFC 9110 §7.2).
fn host_of(request: &SignRequest<'_>) -> Result<String, AuthError> {
    let (Some(scheme), Some(host)) = (request.uri.scheme_str(), request.uri.host()) else {
        return Err(AuthError::new(AuthErrorKind::RelativeUri, request.uri.path()));
    };
    if let Some(host) = request.headers.get(HOST) {
        return host
            .to_str()
            .map(str::to_owned)
            .map_err(|source| AuthError::new(AuthErrorKind::InvalidHeader, "host").with_source(source));
    }
    Ok(match (scheme, request.uri.port_u16()) {
        (_, None) | ("https", Some(443)) | ("http", Some(80)) => host.to_owned(),
        (_, Some(port)) => format!("{host}:{port}"),
    })
}

fn settings(payload: PayloadHash<'_>) -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.excluded_headers = Some(
        [
            AUTHORIZATION,
            CONNECTION,
            CONTENT_LENGTH,
            EXPECT,
            TRANSFER_ENCODING,
            USER_AGENT,
        ]
        .into_iter()
        .map(|name| Cow::Owned(name.as_str().to_owned()))
        .collect(),
    );
    settings.payload_checksum_kind = match payload {
        PayloadHash::Body(_) | PayloadHash::Empty => PayloadChecksumKind::NoHeader,
        PayloadHash::Unsigned | PayloadHash::Precomputed(_) => PayloadChecksumKind::XAmzSha256,
    };
    settings
}

fn signable_body(payload: PayloadHash<'_>) -> SignableBody<'_> {
    match payload {
        PayloadHash::Body(body) => SignableBody::Bytes(body),
        PayloadHash::Empty => SignableBody::empty(),
        PayloadHash::Unsigned => SignableBody::UnsignedPayload,
        PayloadHash::Precomputed(hash) => SignableBody::Precomputed(hash.to_owned()),
    }
}
