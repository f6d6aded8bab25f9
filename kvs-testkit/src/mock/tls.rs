//! The server's certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::error::{MockError, MockErrorKind};

/// Names the certificate is for: what a test on one machine calls it by.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where a server's certificate comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Made anew, for the loopback names and these.
    Made(Vec<String>),
    /// PEM files: the chain, leaf first, and the leaf's key.
    Files { certificate: PathBuf, key: PathBuf },
}

/// A certificate and its key, in use.
pub(super) struct Identity {
    pub(super) acceptor: TlsAcceptor,
    /// The certificate as PEM, for a client's trust store, where it is signed by itself and made here.
    pub(super) pem: Option<String>,
}

impl Identity {
    pub(super) fn of(source: &Source) -> Result<Identity, MockError> {
        match source {
            Source::Made(names) => Identity::generate(names),
            Source::Files { certificate, key } => Identity::read(certificate, key),
        }
    }

    fn read(certificate: &Path, key: &Path) -> Result<Identity, MockError> {
        let unusable = |path: &Path, error: rustls::pki_types::pem::Error| {
            let context = format!("can't use {}", path.display());
            MockError::new(MockErrorKind::Certificate, context, error.to_string())
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unusable(certificate, error))?;
        if chain.is_empty() {
            return Err(unusable(certificate, rustls::pki_types::pem::Error::NoItemsFound));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
        let acceptor = acceptor(chain, private).map_err(|error| {
            let context = format!("can't use {} with {}", certificate.display(), key.display());
            MockError::new(MockErrorKind::Certificate, context, error)
        })?;
        Ok(Identity { acceptor, pem: None })
    }

    /// Makes one for the loopback names and `names`.
    fn generate(names: &[String]) -> Result<Identity, MockError> {
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
        Ok(Identity {
            acceptor: acceptor(vec![certificate], private).map_err(|error| failed(&error))?,
            pem: Some(key.cert.pem()),
        })
    }
}

fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, rustls::Error> {
    // An explicit provider: a library has no business installing a process-wide one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
