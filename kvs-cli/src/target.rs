//! Where an upload goes: the embedded mock, or the service.

use std::path::Path;

use kvs_actors::StreamConfig;
use kvs_auth::{CredentialChain, ProfileCredentials, ProvideCredentials, SharedCredentialsProvider};
use kvs_client::{Client, ClientConfig, ClientErrorKind, ControlPlane, CreateStream, TlsOptions, Url};
use kvs_testkit::MockKvs;

use crate::cli::PutArgs;
use crate::error::{CliError, Failure};

/// Where an upload goes.
#[derive(Debug)]
pub(crate) struct Target {
    /// How the service is reached.
    pub(crate) client: Client,
    /// How long the stream keeps its media, in hours.
    pub(crate) retention_hours: u32,
    mock: Option<MockKvs>,
}

impl Target {
    /// Starts the mock, with the stream in it.
    pub(crate) async fn mock(args: &PutArgs, stream: &StreamConfig) -> Result<Target, CliError> {
        let mock = MockKvs::builder()
            .region(&args.region.name)
            .with_stream(&stream.name, stream.retention_hours);
        let mock = mock.start().await.map_err(CliError::unexpected)?;
        Ok(Target {
            client: mock_client(&mock)?,
            retention_hours: stream.retention_hours,
            mock: Some(mock),
        })
    }

    /// Finds the credentials and makes sure that the stream exists, so that what stands in the way is an error at once and not
    /// a stream that waits for better times.
    pub(crate) async fn service(args: &PutArgs, stream: &StreamConfig) -> Result<Target, CliError> {
        let client = client(
            &args.region.name,
            args.endpoint.as_deref(),
            args.profile.as_deref(),
            args.ca_file.as_deref(),
        )
        .await?;
        let retention_hours = prepare(&client, stream, args.create).await?;
        Ok(Target {
            client,
            retention_hours,
            mock: None,
        })
    }

    /// Ends the mock, if it is one.
    pub(crate) async fn close(self) {
        if let Some(mock) = self.mock {
            mock.stop().await;
        }
    }
}

/// The client for a mock in this process.
pub(crate) fn mock_client(mock: &MockKvs) -> Result<Client, CliError> {
    let endpoint = parse_endpoint(&mock.endpoint())?;
    let config = ClientConfig::new(mock.region(), mock.credentials()).endpoint(endpoint);
    Ok(config.build()?)
}

/// The client for the service, with its credentials found, so that missing ones are an error at once.
pub(crate) async fn client(
    region: &str,
    endpoint: Option<&str>,
    profile: Option<&str>,
    ca_file: Option<&Path>,
) -> Result<Client, CliError> {
    let credentials = match profile {
        Some(name) => SharedCredentialsProvider::new(ProfileCredentials::new().profile(name)),
        None => SharedCredentialsProvider::new(CredentialChain::usual()),
    };
    let mut config = ClientConfig::new(region, credentials.clone());
    if let Some(endpoint) = endpoint {
        config = config.endpoint(parse_endpoint(endpoint)?);
    }
    let mut client = config.clone().build()?;
    if let Some(path) = ca_file {
        let config = config.tls(TlsOptions::default().extra_ca_file(path));
        client = config
            .build()
            .map_err(|error| CliError::new(Failure::Tls, error))?;
    }
    credentials
        .provide_credentials()
        .await
        .map_err(|error| no_credentials(&error))?;
    Ok(client)
}

/// Makes sure that the stream exists, so that a missing one is an error at once and not a stream that waits for better times.
/// Returns how long it keeps its media, in hours.
pub(crate) async fn prepare(client: &Client, stream: &StreamConfig, create: bool) -> Result<u32, CliError> {
    let control = client.control_plane();
    match control.describe_stream(&stream.name).await {
        Ok(described) => Ok(described.retention_hours),
        Err(error) if error.kind() != ClientErrorKind::NotFound => Err(error.into()),
        Err(_) if create => {
            let create = CreateStream::new(&stream.name).retention_hours(stream.retention_hours);
            control
                .create_stream(create.media_type(stream.media_type()))
                .await?;
            Ok(stream.retention_hours)
        }
        Err(_) => {
            let message = format!("no such stream: {} (--create makes it)", stream.name);
            Err(CliError::new(Failure::StreamNotFound, message))
        }
    }
}

fn parse_endpoint(text: &str) -> Result<Url, CliError> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        CliError::new(
            Failure::InvalidArgument,
            format!("endpoint {text:?} is no http or https url"),
        )
    })
}

fn no_credentials(error: &kvs_auth::CredentialsError) -> CliError {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    CliError::new(Failure::NoCredentials, message)
}
