//! SigV4 signing and verifying, and AWS credential providers, for Kinesis Video Streams.
//!
//! # Signing
//!
//! [`Signer`] turns a request and a pair of keys into the headers that authenticate it. Time is an argument,
//! so the caller decides whose clock is right:
//!
//! ```
//! use std::time::SystemTime;
//! use http::{HeaderMap, Method, Uri};
//! use kvs_auth::{PayloadHash, SignRequest, Signer, StaticCredentials};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = StaticCredentials::new("AKIDEXAMPLE", "not-a-real-secret").credentials().clone();
//! let uri: Uri = "https://kinesisvideo.us-west-2.amazonaws.com/describeStream".parse()?;
//! let body = br#"{"StreamName":"front-door"}"#;
//! let request = SignRequest {
//!     method: &Method::POST,
//!     uri: &uri,
//!     headers: &HeaderMap::new(),
//!     payload: PayloadHash::Body(body),
//! };
//! let headers = Signer::new("us-west-2").sign(&request, &credentials, SystemTime::now())?;
//! assert!(headers.iter().any(|(name, _)| name == "authorization"));
//! # Ok(())
//! # }
//! ```
//!
//! A PutMedia body has no end when its head is signed, so its signature covers the hash of the *empty* string
//! ([`PayloadHash::Empty`]); every other call signs the hash of its body.
//!
//! # Verifying
//!
//! [`Verifier`] is the other side, for a server that speaks the protocol: it recomputes the signature from
//! what the client *claims* to have signed (its `SignedHeaders`, its payload hash), because clients differ in
//! both, and checks the scope, the clock and the session token.
//!
//! The steps in between are public in [`canonical`], so that a disagreement can be traced to its step.
//!
//! # Credentials
//!
//! [`ProvideCredentials`] is the seam; any provider written for the AWS SDK for Rust fits. This crate brings
//! [`StaticCredentials`], [`EnvironmentCredentials`], [`ProfileCredentials`], [`FileCredentials`] and
//! [`CredentialChain`], and [`CachingCredentials`], which refreshes ahead of expiry and lets concurrent
//! callers share one refresh.
//!
//! Secrets are held in [`Secret`], which doesn't print, compares in constant time, and is wiped when dropped.

pub mod canonical;
mod credentials;
mod error;
mod secret;
mod sign;
mod verify;

pub use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
pub use credentials::{
    CachingCredentials, CredentialChain, EnvironmentCredentials, FileCredentials, InvalidExpiry,
    ProfileCredentials, StaticCredentials, parse_expiry,
};
pub use error::{AuthError, AuthErrorKind};
pub use secret::Secret;
pub use sign::{PayloadHash, SignRequest, Signer};
pub use verify::{Identity, Verifier, VerifyBody, VerifyError, VerifyErrorKind, VerifyRequest};

/// The service name in the scope of every Kinesis Video Streams signature, control plane and data plane
/// alike.
pub const SERVICE: &str = "kinesisvideo";
