//! What a request says about its own signature.

use std::time::Duration;

use http::{HeaderMap, header::AUTHORIZATION};

use super::{VerifyError, VerifyErrorKind, VerifyRequest};
use crate::{
    Secret,
    canonical::{ALGORITHM, CredentialScope, SigningTime, query_parameters},
};

/// The longest life of a presigned request: seven days.
const MAX_EXPIRES_SECONDS: u64 = 604_800;

/// A signature and everything needed to recompute it.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) access_key_id: String,
    pub(super) scope: CredentialScope,
    /// In the client's order, as it goes into the canonical request.
    pub(super) signed_headers: String,
    pub(super) signature: Secret,
    pub(super) time: SigningTime,
    /// The header the time came from, if it came from one.
    pub(super) date_header: Option<&'static str>,
    /// How long a presigned request is good.
    pub(super) expires_in: Option<Duration>,
    pub(super) session_token: Option<Secret>,
    pub(super) payload_hash: Option<String>,
}

impl Claim {
    pub(super) fn of(request: &VerifyRequest<'_>) -> Result<Self, VerifyError> {
        if let Some(authorization) = request.headers.get(AUTHORIZATION) {
            let authorization = authorization
                .to_str()
                .map_err(|_| incomplete("authorization is not ascii"))?;
            return Self::from_headers(authorization, request.headers);
        }
        let query = request.target.split_once('?').map_or("", |(_, query)| query);
        Self::from_query(query, request.headers)
    }

    /// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`
    fn from_headers(authorization: &str, headers: &HeaderMap) -> Result<Self, VerifyError> {
        let fields = authorization
            .strip_prefix(ALGORITHM)
            .filter(|fields| fields.starts_with(' '))
            .ok_or_else(|| incomplete("the algorithm is not AWS4-HMAC-SHA256"))?;
        let field = |name: &str| {
            fields
                .split(',')
                .filter_map(|field| field.trim().split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
                .ok_or_else(|| incomplete(&format!("authorization has no {name}")))
        };
        let (access_key_id, scope) = parse_credential(field("Credential")?)?;
        let (time, date_header) = signing_time(headers)?;
        Ok(Self {
            access_key_id,
            scope,
            signed_headers: field("SignedHeaders")?.to_owned(),
            signature: Secret::new(field("Signature")?),
            time,
            date_header: Some(date_header),
            expires_in: None,
            session_token: header(headers, "x-amz-security-token").map(Secret::new),
            payload_hash: header(headers, "x-amz-content-sha256").map(str::to_owned),
        })
    }

    /// `X-Amz-Algorithm=…&X-Amz-Credential=…&X-Amz-Date=…&X-Amz-Expires=…&X-Amz-SignedHeaders=…&X-Amz-Signature=…`
    fn from_query(query: &str, headers: &HeaderMap) -> Result<Self, VerifyError> {
        let parameter = |name: &str| {
            query_parameters(query)
                .find(|(key, _)| key == name.as_bytes())
                .and_then(|(_, value)| String::from_utf8(value).ok())
        };
        let required =
            |name: &str| parameter(name).ok_or_else(|| incomplete(&format!("the query has no {name}")));
        let algorithm = parameter("X-Amz-Algorithm")
            .ok_or_else(|| VerifyError::new(VerifyErrorKind::MissingAuthentication, ""))?;
        if algorithm != ALGORITHM {
            return Err(incomplete("the algorithm is not AWS4-HMAC-SHA256"));
        }
        let (access_key_id, scope) = parse_credential(&required("X-Amz-Credential")?)?;
        let expires_in = required("X-Amz-Expires")?
            .parse()
            .ok()
            .filter(|seconds| (1..=MAX_EXPIRES_SECONDS).contains(seconds))
            .map(Duration::from_secs)
            .ok_or_else(|| incomplete("X-Amz-Expires is not between 1 and 604800 seconds"))?;
        Ok(Self {
            access_key_id,
            scope,
            signed_headers: required("X-Amz-SignedHeaders")?,
            signature: Secret::new(required("X-Amz-Signature")?),
            time: SigningTime::parse(&required("X-Amz-Date")?)
                .ok_or_else(|| incomplete("X-Amz-Date is not of the form YYYYMMDDTHHMMSSZ"))?,
            date_header: None,
            expires_in: Some(expires_in),
            session_token: parameter("X-Amz-Security-Token").map(Secret::new),
            payload_hash: header(headers, "x-amz-content-sha256").map(str::to_owned),
        })
    }
}

fn incomplete(context: &str) -> VerifyError {
    VerifyError::new(VerifyErrorKind::IncompleteSignature, context)
}

fn parse_credential(credential: &str) -> Result<(String, CredentialScope), VerifyError> {
    let (access_key_id, scope) = CredentialScope::parse_credential(credential)
        .ok_or_else(|| incomplete("the credential is not of the form id/date/region/service/aws4_request"))?;
    Ok((access_key_id.to_owned(), scope))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// `x-amz-date`, else `date`.
fn signing_time(headers: &HeaderMap) -> Result<(SigningTime, &'static str), VerifyError> {
    if let Some(text) = header(headers, "x-amz-date") {
        let time = SigningTime::parse(text)
            .ok_or_else(|| incomplete("x-amz-date is not of the form YYYYMMDDTHHMMSSZ"))?;
        return Ok((time, "x-amz-date"));
    }
    let text =
        header(headers, "date").ok_or_else(|| incomplete("the request has neither x-amz-date nor date"))?;
    let time = httpdate::parse_http_date(text)
        .ok()
        .and_then(SigningTime::new)
        .or_else(|| SigningTime::parse(text))
        .ok_or_else(|| incomplete("date is not an http date"))?;
    Ok((time, "date"))
}
