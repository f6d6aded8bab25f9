//! Verifying signatures, for servers.

mod claim;
mod error;

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use http::{HeaderMap, Method};
use subtle::ConstantTimeEq;

use self::claim::Claim;
pub use self::error::{VerifyError, VerifyErrorKind};
use crate::{
    SERVICE, Secret,
    canonical::{self, CanonicalRequest, EMPTY_PAYLOAD_HASH, UNSIGNED_PAYLOAD},
};

/// The clock difference AWS tolerates (IAM user guide, "Signature Version 4 for API requests").
const DEFAULT_MAX_SKEW: Duration = Duration::from_secs(5 * 60);

/// The parts of a received request that its signature may cover.
#[derive(Debug, Clone, Copy)]
pub struct VerifyRequest<'a> {
    /// The HTTP method.
    pub method: &'a Method,
    /// The target of the request line in origin form, as received: `/path?query`.
    pub target: &'a str,
    /// The headers as received; a `Host` without port verifies if it was signed so.
    pub headers: &'a HeaderMap,
    /// The body, as far as it is known when the signature is checked.
    pub body: VerifyBody<'a>,
}

/// What is known of the body when the signature is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyBody<'a> {
    /// All of it: a hash the client claims must be the hash of these bytes.
    Bytes(&'a [u8]),
    /// It is still to come (PutMedia): whatever hash or literal the client claims is taken as its claim.
    /// Without `x-amz-content-sha256` that is the hash of the empty string, or `UNSIGNED-PAYLOAD`.
    Streaming,
}

/// Who signed a verified request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The access key id of the signature.
    pub access_key_id: String,
    /// The region in the signature's scope.
    pub region: String,
}

/// Checks SigV4 signatures against a table of known keys.
///
/// It accepts what clients of the service send: signed and unsigned session tokens, any set of signed headers
/// that holds `host` and the date, the three payload-hash forms, and presigned queries.
///
/// ```
/// use std::time::SystemTime;
/// use http::{HeaderMap, Method};
/// use kvs_auth::{Secret, Verifier, VerifyBody, VerifyErrorKind, VerifyRequest};
///
/// let verifier = Verifier::new(Some("us-west-2".into())).with_credentials("AKIDEXAMPLE", Secret::new("not-a-real-secret"));
/// let unsigned = VerifyRequest {
///     method: &Method::POST,
///     target: "/describeStream",
///     headers: &HeaderMap::new(),
///     body: VerifyBody::Bytes(b"{}"),
/// };
/// let refused = verifier.verify(&unsigned, SystemTime::now()).unwrap_err();
/// assert_eq!(refused.kind(), VerifyErrorKind::MissingAuthentication);
/// assert_eq!(refused.status(), 403);
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    region: Option<String>,
    max_skew: Duration,
    keys: HashMap<String, KnownKey>,
}

#[derive(Debug, Clone)]
struct KnownKey {
    secret: Secret,
    session_token: Option<Secret>,
    expires: Option<SystemTime>,
}

impl Verifier {
    /// A verifier that knows no key yet, for one region or (`None`) for any.
    pub fn new(region: Option<String>) -> Self {
        Self {
            region,
            max_skew: DEFAULT_MAX_SKEW,
            keys: HashMap::new(),
        }
    }

    /// Adds a key. Requests may carry any session token with it, or none.
    #[must_use]
    pub fn with_credentials(mut self, access_key_id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        let key = KnownKey {
            secret: secret.into(),
            session_token: None,
            expires: None,
        };
        self.keys.insert(access_key_id.into(), key);
        self
    }

    /// The tolerated difference between the signing time and now: 5 minutes unless set.
    #[must_use]
    pub fn max_skew(mut self, max_skew: Duration) -> Self {
        self.max_skew = max_skew;
        self
    }

    /// Adds a key with what else is known of it: where the credentials have a session token, requests must
    /// carry it; where they expire, requests after that are refused.
    pub fn accept(&mut self, credentials: &Credentials) {
        let key = KnownKey {
            secret: Secret::new(credentials.secret_access_key()),
            session_token: credentials.session_token().map(Secret::new),
            expires: credentials.expiry(),
        };
        self.keys.insert(credentials.access_key_id().to_owned(), key);
    }

    /// Forgets a key, as when it is revoked.
    pub fn revoke(&mut self, access_key_id: &str) {
        self.keys.remove(access_key_id);
    }

    /// Checks a request's signature at the time `now`.
    ///
    /// # Errors
    ///
    /// [`VerifyError`] names the reason, and the HTTP status and error type with which the service answers
    /// it.
    pub fn verify(&self, request: &VerifyRequest<'_>, now: SystemTime) -> Result<Identity, VerifyError> {
        let claim = Claim::of(request)?;
        self.check_scope(&claim)?;
        let key = self
            .keys
            .get(&claim.access_key_id)
            .ok_or_else(|| VerifyError::new(VerifyErrorKind::UnknownKey, ""))?;
        check_signed_headers(&claim)?;
        self.check_time(&claim, now)?;
        check_body_hash(&claim, request.body)?;
        check_signature(request, &claim, &key.secret)?;
        check_token(&claim, key, now)?;
        Ok(Identity {
            access_key_id: claim.access_key_id,
            region: claim.scope.region,
        })
    }

    fn check_scope(&self, claim: &Claim) -> Result<(), VerifyError> {
        let wrong = |context: String| Err(VerifyError::new(VerifyErrorKind::WrongScope, context));
        let scope = &claim.scope;
        if scope.service != SERVICE {
            return wrong(format!(
                "credential should be scoped to service {SERVICE}, not {}",
                scope.service
            ));
        }
        if let Some(region) = self.region.as_ref().filter(|region| **region != scope.region) {
            return wrong(format!(
                "credential should be scoped to region {region}, not {}",
                scope.region
            ));
        }
        if scope.date != claim.time.date() {
            return wrong(format!(
                "date in credential scope is {}, the request is from {}",
                scope.date, claim.time
            ));
        }
        Ok(())
    }

    fn check_time(&self, claim: &Claim, now: SystemTime) -> Result<(), VerifyError> {
        let signed_at = claim.time.system_time();
        let valid_for = claim.expires_in.unwrap_or(self.max_skew);
        let now_text = || {
            canonical::SigningTime::new(now)
                .map(|now| now.to_string())
                .unwrap_or_default()
        };
        if now.duration_since(signed_at).is_ok_and(|age| age > valid_for) {
            let context = format!(
                "signature expired: {} is more than {valid_for:?} before {}",
                claim.time,
                now_text()
            );
            return Err(VerifyError::new(VerifyErrorKind::Expired, context));
        }
        if signed_at
            .duration_since(now)
            .is_ok_and(|lead| lead > self.max_skew)
        {
            let context = format!(
                "signature not yet current: {} is still later than {}",
                claim.time,
                now_text()
            );
            return Err(VerifyError::new(VerifyErrorKind::NotYetCurrent, context));
        }
        Ok(())
    }
}

/// AWS refuses a signature that doesn't cover the host and its own date.
fn check_signed_headers(claim: &Claim) -> Result<(), VerifyError> {
    let covers = |name: &str| {
        claim
            .signed_headers
            .split(';')
            .any(|signed| signed.eq_ignore_ascii_case(name))
    };
    let missing = ["host"]
        .into_iter()
        .chain(claim.date_header)
        .find(|name| !covers(name));
    match missing {
        None => Ok(()),
        Some(name) => Err(VerifyError::new(
            VerifyErrorKind::IncompleteSignature,
            format!("{name} must be a signed header"),
        )),
    }
}

/// A hash of a body at hand must be its hash; literals leave the body unsigned.
fn check_body_hash(claim: &Claim, body: VerifyBody<'_>) -> Result<(), VerifyError> {
    let (VerifyBody::Bytes(bytes), Some(claimed)) = (body, &claim.payload_hash) else {
        return Ok(());
    };
    let is_hash = claimed.len() == EMPTY_PAYLOAD_HASH.len();
    if is_hash && !claimed.eq_ignore_ascii_case(&canonical::sha256_hex(bytes)) {
        return Err(VerifyError::new(
            VerifyErrorKind::SignatureMismatch,
            "x-amz-content-sha256 is not the hash of the body",
        ));
    }
    Ok(())
}

fn check_signature(request: &VerifyRequest<'_>, claim: &Claim, secret: &Secret) -> Result<(), VerifyError> {
    for payload_hash in payload_hashes(claim, request.body) {
        let canonical = CanonicalRequest::new(
            request.method.as_str(),
            request.target,
            request.headers,
            &claim.signed_headers,
            &payload_hash,
        )
        .map_err(|name| {
            VerifyError::new(
                VerifyErrorKind::SignatureMismatch,
                format!("signed header {name:?} was not received"),
            )
        })?;
        let expected = canonical::signature(
            secret,
            claim.time,
            &claim.scope,
            &canonical.string_to_sign(claim.time, &claim.scope),
        );
        if expected
            .as_bytes()
            .ct_eq(claim.signature.expose().as_bytes())
            .into()
        {
            return Ok(());
        }
    }
    Err(VerifyError::new(VerifyErrorKind::SignatureMismatch, ""))
}

/// The payload hashes under which the signature may hold.
fn payload_hashes(claim: &Claim, body: VerifyBody<'_>) -> Vec<String> {
    match (&claim.payload_hash, body) {
        (Some(claimed), _) => vec![claimed.clone()],
        (None, VerifyBody::Bytes(bytes)) => vec![canonical::sha256_hex(bytes)],
        (None, VerifyBody::Streaming) => vec![EMPTY_PAYLOAD_HASH.to_owned(), UNSIGNED_PAYLOAD.to_owned()],
    }
}

fn check_token(claim: &Claim, key: &KnownKey, now: SystemTime) -> Result<(), VerifyError> {
    if key.session_token.is_some() && key.session_token != claim.session_token {
        return Err(VerifyError::new(VerifyErrorKind::InvalidToken, ""));
    }
    if key.expires.is_some_and(|expires| expires <= now) {
        return Err(VerifyError::new(VerifyErrorKind::TokenExpired, ""));
    }
    Ok(())
}
