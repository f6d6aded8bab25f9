//! Credentials through an IoT role alias, over mutual TLS.

use std::{error::Error, fs, path::PathBuf, sync::Arc};

use kvs_auth::{Credentials, CredentialsError, ProvideCredentials};
use kvs_client::{ClientConfig, ClientError, ClientErrorKind, ControlPlane, IotCredentials, TlsOptions};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier};
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

fn certificate(name: &str) -> CertifiedKey<KeyPair> {
    generate_simple_self_signed([name.to_owned()]).expect("makes a certificate")
}

/// The credential provider of IoT: it knows one thing by its certificate.
struct Provider {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    ca_pem: String,
    directory: TempDir,
}

impl Provider {
    async fn listen() -> Self {
        let (server, thing) = (certificate("localhost"), certificate("thing"));
        let mut things = RootCertStore::empty();
        things.add(thing.cert.der().clone()).expect("is a certificate");
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(things), Arc::clone(&provider))
            .build()
            .expect("builds");
        let key = PrivateKeyDer::try_from(server.signing_key.serialize_der()).expect("is a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("has versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![server.cert.der().clone()], key)
            .expect("takes the certificate");
        let directory = tempfile::tempdir().expect("creates a directory");
        fs::write(directory.path().join("thing.pem"), thing.cert.pem()).expect("writes");
        fs::write(
            directory.path().join("thing.key"),
            thing.signing_key.serialize_pem(),
        )
        .expect("writes");
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.expect("listens"),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            ca_pem: server.cert.pem(),
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn credentials(&self) -> IotCredentials {
        let port = self.listener.local_addr().expect("is bound").port();
        IotCredentials::builder(format!("https://localhost:{port}").parse().expect("is a url"))
            .role_alias("camera role")
            .thing_name("camera-7")
            .certificate_file(self.path("thing.pem"))
            .private_key_file(self.path("thing.key"))
            .tls(TlsOptions::default().extra_ca_pem(&self.ca_pem))
            .build()
            .expect("builds")
    }

    /// Answers one request and gives its head.
    async fn serve(&self, answer: &str) -> String {
        let (stream, _) = self.listener.accept().await.expect("accepts");
        let mut stream = self.acceptor.accept(stream).await.expect("shakes hands");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(stream.read_u8().await.expect("reads")));
        }
        stream.write_all(answer.as_bytes()).await.expect("writes");
        stream.shutdown().await.expect("shuts down");
        head
    }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nx-amzn-RequestId: id-1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn ask(provider: &Provider, answer: &str) -> (Result<Credentials, CredentialsError>, String) {
    let credentials = provider.credentials();
    tokio::join!(credentials.provide_credentials(), provider.serve(answer))
}

/// The client's own error inside the provider's.
fn cause(error: &CredentialsError) -> &ClientError {
    error
        .source()
        .and_then(|source| source.downcast_ref())
        .expect("has a client error as its source")
}

const GRANTED: &str = r#"{"credentials":{"accessKeyId":"ASIA","secretAccessKey":"hunter2","sessionToken":"token","expiration":"2030-01-02T03:04:05Z"}}"#;

#[tokio::test]
async fn a_thing_gets_temporary_credentials() {
    let provider = Provider::listen().await;

    let (given, head) = ask(&provider, &answer("200 OK", GRANTED)).await;

    let given = given.expect("gives");
    assert_eq!(
        (given.access_key_id(), given.session_token()),
        ("ASIA", Some("token"))
    );
    assert!(given.expiry().is_some());
    assert!(
        head.starts_with("GET /role-aliases/camera%20role/credentials HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("x-amzn-iot-thingname: camera-7\r\n"), "{head}");
}

#[tokio::test]
async fn a_refusal_says_which_endpoint_said_what() {
    let provider = Provider::listen().await;

    let (given, _) = ask(
        &provider,
        &answer("403 Forbidden", r#"{"message":"Invalid thing name passed"}"#),
    )
    .await;

    let refused = given.expect_err("is refused");
    let error = cause(&refused);
    assert_eq!(
        (error.kind(), error.context()),
        (ClientErrorKind::Forbidden, "Invalid thing name passed")
    );
    assert!(error.to_string().contains("https://localhost:"), "{error}");
}

#[actix_rt::test]
async fn a_client_that_gets_no_credentials_says_which_endpoint_said_what() {
    let provider = Provider::listen().await;
    let control = ClientConfig::new("us-west-2", provider.credentials())
        .build()
        .expect("builds")
        .control_plane();

    let refusal = answer("404 Not Found", r#"{"message":"Role alias does not exist"}"#);
    let (described, _) = tokio::join!(control.describe_stream("x"), provider.serve(&refusal));

    let error = described.expect_err("fails");
    assert_eq!(error.kind(), ClientErrorKind::Credentials);
    let text = error.to_string();
    assert!(
        text.contains("Role alias does not exist") && text.contains("https://localhost:"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error_without_its_text() {
    for body in [
        "{}",
        "hunter2",
        &GRANTED.replace("2030-01-02T03:04:05Z", "soon"),
        &GRANTED[..80],
    ] {
        let provider = Provider::listen().await;

        let (given, _) = ask(&provider, &answer("200 OK", body)).await;

        let failed = given.expect_err("fails");
        let error = cause(&failed);
        assert_eq!(error.kind(), ClientErrorKind::Protocol, "{body}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_connection_lost() {
    let provider = Provider::listen().await;

    let (given, _) = ask(&provider, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;

    assert!(cause(&given.expect_err("fails")).is_connection_lost());
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let provider = Provider::listen().await;
    fs::write(provider.path("empty.pem"), "hunter2").expect("writes");
    let builder = || {
        IotCredentials::builder("https://localhost".parse().expect("is a url"))
            .role_alias("role")
            .thing_name("thing")
            .certificate_file(provider.path("thing.pem"))
            .private_key_file(provider.path("thing.key"))
    };
    for (builder, named) in [
        (builder().role_alias(""), "role alias"),
        (builder().thing_name("x".repeat(129)), "thing name"),
        (builder().thing_name("a\r\nb"), "thing name"),
        (
            builder().certificate_file(provider.path("missing.pem")),
            "missing.pem",
        ),
        (
            builder().certificate_file(provider.path("empty.pem")),
            "empty.pem",
        ),
        (
            builder().private_key_file(provider.path("empty.pem")),
            "empty.pem",
        ),
        (
            IotCredentials::builder("http://localhost".parse().expect("is a url"))
                .role_alias("r")
                .thing_name("t"),
            "https",
        ),
    ] {
        let error = builder.build().expect_err("is refused");

        assert_eq!(error.kind(), ClientErrorKind::Configuration);
        assert!(
            error.to_string().contains(named) && !error.to_string().contains("hunter2"),
            "{error}"
        );
    }
}
