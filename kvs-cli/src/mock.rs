//! `kvs mock`: the mock of the service as a server.

use kvs_testkit::service::{Effect, Fault, Moment, Operation, Quotas};
use kvs_testkit::{MockError, MockErrorKind, MockKvs, ScriptFile};
use serde::Serialize;

use crate::cli::{FaultArgs, MockArgs};
use crate::credentials::KeyPair;
use crate::error::{CliError, Failure};
use crate::{output, signal};

/// What the first line says.
#[derive(Serialize)]
struct Facts {
    endpoint: String,
    region: String,
    access_key_id: String,
    /// Every access key that is taken.
    access_key_ids: Vec<String>,
    /// What to trust when it serves TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_pem: Option<String>,
}

/// Serves until the process is asked to end.
pub(crate) async fn run(args: MockArgs) -> Result<(), CliError> {
    let pairs = credentials(&args);
    let mock = start(&args, &pairs).await?;
    let ids: Vec<String> = pairs.into_iter().map(|pair| pair.id).collect();
    let facts = Facts {
        endpoint: mock.endpoint(),
        region: mock.region().to_owned(),
        access_key_id: ids.first().cloned().unwrap_or_default(),
        access_key_ids: ids,
        ca_pem: mock.ca_pem(),
    };
    let first_line = serde_json::to_string(&facts).map_err(CliError::unexpected)?;
    let announced = async {
        output::announce(first_line)?;
        std::future::pending().await
    };
    // In this order: whoever has read the first line may ask the process to end at once.
    let served: Result<(), CliError> = tokio::select! {
        biased;
        () = signal::end_requested() => Ok(()),
        unread = announced => unread,
    };
    // Checked by hand: a mock that is dropped with expectations unmet panics, as a test wants it.
    let verdict = mock.verify();
    mock.stop().await;
    served?;
    verdict.map_err(|unmet| {
        output::note(unmet);
        CliError::new(Failure::Unmet, "what the script expects did not happen")
    })
}

async fn start(args: &MockArgs, pairs: &[KeyPair]) -> Result<MockKvs, CliError> {
    let mut builder = MockKvs::builder().listen(args.listen).region(&args.region.name);
    for pair in pairs {
        builder = builder.credentials(&pair.id, pair.secret.as_str());
    }
    if args.https {
        builder = builder.https();
    }
    if let (Some(certificate), Some(key)) = (&args.cert, &args.key) {
        builder = builder.https_files(certificate, key);
    }
    if let Some(directory) = &args.capture {
        builder = builder.capture(directory);
    }
    if let Some(directory) = &args.state_dir {
        builder = builder.state_dir(directory);
    }
    if args.quotas {
        builder = builder.quotas(Quotas::default());
    }
    if let Some(path) = &args.script {
        let script = ScriptFile::read(path).map_err(|error| CliError::new(failure(&error), error))?;
        builder = builder.script(script);
    }
    for fault in faults(&args.faults) {
        builder = builder.fault(fault);
    }
    builder
        .start()
        .await
        .map_err(|error| CliError::new(failure(&error), error))
}

fn failure(error: &MockError) -> Failure {
    match error.kind() {
        MockErrorKind::Bind => Failure::AddressUnavailable,
        MockErrorKind::Setting | MockErrorKind::File => Failure::InvalidArgument,
        MockErrorKind::Certificate => Failure::Tls,
        _ => Failure::Unexpected,
    }
}

fn credentials(args: &MockArgs) -> Vec<KeyPair> {
    if args.credentials.is_empty() {
        vec![KeyPair::from_environment().unwrap_or_else(KeyPair::mock_default)]
    } else {
        args.credentials.clone()
    }
}

/// The faults that the flags ask for, on whichever stream comes.
fn faults(args: &FaultArgs) -> Vec<Fault> {
    let reset_after_bytes = args
        .reset_after_bytes
        .map(|bytes| event(Moment::AfterBytes(bytes), Effect::Reset));
    let reset_after_fragments = args
        .reset_after_fragments
        .map(|n| event(Moment::AfterFragment(n), Effect::Reset));
    let error = args
        .error_at_fragment
        .map(|(n, code)| event(Moment::OnFragment(n), Effect::Error(code.into())));
    let withheld = args
        .withhold_persisted
        .then(|| lasting(Effect::WithholdPersisted));
    let split = args.split_acks.then(|| lasting(Effect::SplitAcks));
    let refusal = Effect::Refuse {
        status: 403,
        error_type: "AccessDeniedException".into(),
    };
    let refused = args.refuse_once.then(|| event(Moment::Request, refusal));
    [
        reset_after_bytes,
        reset_after_fragments,
        error,
        withheld,
        split,
        refused,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Something that happens once.
fn event(at: Moment, effect: Effect) -> Fault {
    Fault {
        stream: None,
        call: Operation::PutMedia,
        nth: None,
        at,
        effect,
        times: Some(1),
    }
}

/// Something that is so on every connection.
fn lasting(effect: Effect) -> Fault {
    Fault {
        stream: None,
        call: Operation::PutMedia,
        nth: None,
        at: Moment::Request,
        effect,
        times: None,
    }
}
