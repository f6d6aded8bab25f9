//! The server's certificate.

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::error::{MockError, MockErrorKind};

/// Names the certificate is for: what a test on one machine calls it by.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate signed by itself, made anew for each server.
pub(super) struct Identity {
    pub(super) acceptor: TlsAcceptor,
    /// The certificate as PEM, for a client's trust store.
    pub(super) pem: String,
}

impl Identity {
    /// Makes one for the loopback names and `names`.
    pub(super) fn generate(names: &[String]) -> Result<Identity, MockError> {
        let all: Vec<String> = NAMES
            .iter()
            .map(ToString::to_string)
            .chain(names.iter().cloned())
            .collect();
        let failed = |error: &dyn std::error::Error| {
            MockError::new(
                MockErrorKind::Certificate,
                "can't make a certificate",
                error.to_string(),
            )
        };
        let key = rcgen::generate_simple_self_signed(all).map_err(|error| failed(&error))?;
        let certificate = key.cert.der().clone();
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
        // An explicit provider: a library has no business installing a process-wide one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![certificate], private)
            })
            .map_err(|error| failed(&error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            pem: key.cert.pem(),
        })
    }
}
