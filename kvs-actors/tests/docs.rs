//! The tables of the documentation say what the code does.

#![allow(clippy::unwrap_used)] // outside test functions too: a wrong set-up is a failed test

use std::fmt::Write;
use std::path::Path;

use kvs_actors::machine::{FragmentFate, NextStep, REACTIONS};
use kvs_actors::{ProducerConfig, SettingInfo, StreamConfig};

/// Fails with the table that belongs there, to be put in its place.
fn assert_printed(page: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    assert!(text.contains(table), "docs/{page} should have\n\n{table}");
}

fn settings_table(settings: &[SettingInfo]) -> String {
    settings.iter().fold(String::new(), |mut table, setting| {
        let SettingInfo {
            name,
            default,
            allowed,
            ..
        } = setting;
        writeln!(table, "| `{name}` | `{default}` | {allowed} |").unwrap();
        table
    })
}

#[test]
fn every_reaction_to_an_error_acknowledgement_is_printed() {
    let table = REACTIONS.iter().fold(String::new(), |mut table, reaction| {
        let fragment = match reaction.fragment {
            FragmentFate::Refuse => "is set aside",
            FragmentFate::ResendOnce => "is sent once more",
            FragmentFate::Resend => "is sent again",
        };
        let next = match reaction.next {
            NextStep::Reopen => "reopens",
            NextStep::BackOff => "backs off, then reopens",
            NextStep::Redescribe => "looks at the stream again",
            NextStep::Fatal => "ends",
        };
        let (code, name) = (reaction.code, reaction.name);
        writeln!(table, "| {code} | {name} | {fragment} | {next} |").unwrap();
        table
    });
    assert_printed("ack-reactions.md", &table);
}

#[test]
fn every_setting_of_a_producer_is_printed() {
    assert_printed("configuration.md", &settings_table(&ProducerConfig::settings()));
}

#[test]
fn every_setting_of_a_stream_is_printed() {
    assert_printed("configuration.md", &settings_table(&StreamConfig::settings()));
}
