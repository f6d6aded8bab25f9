//! The mock passes the truth check.

use std::time::Duration;

use kvs_client::{ClientConfig, TlsOptions};
use kvs_testkit::truth::{Outcome, TruthCheck};
use kvs_testkit::{MockKvs, MockKvsBuilder};
use tokio::task::LocalSet;

async fn check(builder: MockKvsBuilder) -> (MockKvs, Vec<Outcome>) {
    let kvs = builder
        .reader_idle(Duration::from_millis(200))
        .start()
        .await
        .expect("starts");
    let endpoint = kvs.endpoint().parse().expect("a url");
    let mut config = ClientConfig::new(kvs.region(), kvs.credentials()).endpoint(endpoint);
    if let Some(pem) = kvs.ca_pem() {
        config = config.tls(TlsOptions::default().extra_ca_pem(pem));
    }
    let check = TruthCheck::new(config.build().expect("a client"));
    // The control plane's connections are tasks of their thread.
    let outcomes = LocalSet::new().run_until(check.run(|_| {})).await;
    (kvs, outcomes)
}

fn failures(outcomes: &[Outcome]) -> Vec<String> {
    outcomes
        .iter()
        .filter(|outcome| outcome.result.is_err())
        .map(ToString::to_string)
        .collect()
}

#[tokio::test]
async fn the_mock_passes_every_case() {
    let (_kvs, outcomes) = check(MockKvs::builder()).await;
    assert_eq!(failures(&outcomes), Vec::<String>::new());
    assert!(outcomes.len() > 20);
}

#[tokio::test]
async fn an_endpoint_that_forgets_to_persist_is_caught() {
    let script = "[[fault]]\neffect = \"withhold_persisted\"\n"
        .parse()
        .expect("a script");
    let (_kvs, outcomes) = check(MockKvs::builder().script(script)).await;
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.result.is_err())
        .map(|outcome| outcome.name)
        .collect();
    assert_eq!(failed, ["ack_order", "repeat"]);
}

#[tokio::test]
async fn the_check_cleans_up_what_it_made() {
    let (kvs, outcomes) = check(MockKvs::builder()).await;
    assert_eq!(outcomes.last().map(|outcome| outcome.name), Some("delete_stream"));
    let calls: u64 = kvs
        .ledger()
        .streams
        .values()
        .filter_map(|stream| stream.calls.get("DeleteStream"))
        .sum();
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn the_mock_passes_over_tls_too() {
    let (_kvs, outcomes) = check(MockKvs::builder().https()).await;
    assert_eq!(failures(&outcomes), Vec::<String>::new());
}
