//! TLS without process-wide state.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

use crate::{ClientError, ClientErrorKind};

/// Whom to trust.
///
/// The default trusts the bundled roots of the web PKI (Mozilla's list), which hold the roots of AWS. The
/// system's own store isn't read: cameras often have none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsOptions {
    /// PEM files whose certificates are trusted as well.
    pub extra_ca_files: Vec<PathBuf>,
    /// Certificates in PEM form that are trusted as well.
    pub extra_ca_pem: Vec<String>,
    /// Whether the bundled roots are trusted.
    pub roots: TrustedRoots,
}

/// Whether the bundled roots are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrustedRoots {
    /// They are, besides the extra ones.
    #[default]
    Bundled,
    /// Only the extra ones are.
    ExtraOnly,
}

impl TlsOptions {
    /// Trusts the certificates of a PEM file, too.
    #[must_use]
    pub fn extra_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.extra_ca_files.push(path.into());
        self
    }

    /// Trusts these certificates in PEM form, too.
    #[must_use]
    pub fn extra_ca_pem(mut self, pem: impl Into<String>) -> Self {
        self.extra_ca_pem.push(pem.into());
        self
    }

    /// Trusts the extra certificates alone.
    #[must_use]
    pub fn extra_only(mut self) -> Self {
        self.roots = TrustedRoots::ExtraOnly;
        self
    }

    /// Builds the configuration. Reads files.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, ClientError> {
        let builder = builder()?.with_root_certificates(self.root_store()?);
        Ok(http1_only(builder.with_no_client_auth()))
    }

    /// The same, for a client that proves who it is with a certificate chain and its key.
    pub(crate) fn client_config_with_identity(
        &self,
        (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
    ) -> Result<Arc<ClientConfig>, ClientError> {
        let builder = builder()?.with_root_certificates(self.root_store()?);
        let config = builder.with_client_auth_cert(chain, key).map_err(|source| {
            let text = format!("the client certificate and its key: {source}");
            ClientError::new(ClientErrorKind::Configuration, text).with_source(source)
        })?;
        Ok(http1_only(config))
    }

    fn root_store(&self) -> Result<RootCertStore, ClientError> {
        let mut roots = RootCertStore::empty();
        if self.roots == TrustedRoots::Bundled {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for path in &self.extra_ca_files {
            add_file(&mut roots, path)?;
        }
        for pem in &self.extra_ca_pem {
            add_pem(&mut roots, pem.as_bytes(), "the given pem text")?;
        }
        Ok(roots)
    }
}

/// A provider of its own: a library must not choose one for the process.
fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, ClientError> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|source| {
            ClientError::new(ClientErrorKind::Tls, "no usable protocol version").with_source(source)
        })
}

fn http1_only(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), ClientError> {
    let name = path.display().to_string();
    let pem = std::fs::read(path).map_err(|source| {
        ClientError::new(
            ClientErrorKind::Configuration,
            format!("ca file {name}: {source}"),
        )
        .with_source(source)
    })?;
    add_pem(roots, &pem, &format!("ca file {name}"))
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8], name: &str) -> Result<(), ClientError> {
    let wrong =
        |reason: String| ClientError::new(ClientErrorKind::Configuration, format!("{name}: {reason}"));
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|source| wrong(source.to_string()))?;
        roots
            .add(certificate)
            .map_err(|source| wrong(source.to_string()))?;
        added += 1;
    }
    if added == 0 {
        Err(wrong("holds no certificate".into()))
    } else {
        Ok(())
    }
}

/// A handshake that breaks off is a lost connection; one that is refused says why. A peer whose first bytes are no record
/// of TLS, such as a server of plain http, speaks something else.
pub(crate) fn handshake_error(error: io::Error) -> ClientError {
    match error.downcast::<rustls::Error>() {
        Ok(source @ rustls::Error::InvalidMessage(_)) => {
            ClientError::new(ClientErrorKind::Protocol, "the peer does not speak tls").with_source(source)
        }
        Ok(source) => ClientError::new(ClientErrorKind::Tls, source.to_string()).with_source(source),
        Err(error) => ClientError::from_io(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_default_trusts_the_bundled_roots_and_speaks_http_1_only() {
        let config = TlsOptions::default().client_config().expect("builds");

        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(
            rustls::crypto::CryptoProvider::get_default().is_none(),
            "a process default was installed"
        );
    }

    #[test]
    fn a_missing_empty_or_broken_ca_file_is_named() {
        let directory = tempfile::tempdir().expect("creates a directory");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("writes");
            path
        };
        for path in [
            directory.path().join("missing.pem"),
            write("empty.pem", "nothing here"),
            write(
                "broken.pem",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            ),
        ] {
            let error = TlsOptions::default()
                .extra_ca_file(&path)
                .client_config()
                .expect_err("refused");

            assert_eq!(error.kind(), ClientErrorKind::Configuration);
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }
}
