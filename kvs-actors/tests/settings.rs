//! Settings out of files and variables, as a program reads them.

#![cfg(feature = "config-files")]
#![allow(clippy::unwrap_used)] // outside test functions too: a wrong set-up is a failed test

use std::time::Duration;

use kvs_actors::{ProducerConfig, Settings, StreamConfig, StreamErrorKind};

const NONE: [(&str, &str); 0] = [];

fn error_of(toml: &str, variables: &[(&str, &str)]) -> String {
    let sources = Settings::sources()
        .toml(toml)
        .variables(variables.iter().copied());
    let error = sources.load().unwrap_err();
    assert_eq!(error.kind(), StreamErrorKind::InvalidConfig);
    error.to_string()
}

#[test]
fn nothing_said_is_the_defaults() {
    let settings = Settings::sources().variables(NONE).load().unwrap();
    assert_eq!(settings.producer, ProducerConfig::default());
    assert!(settings.streams.is_empty());
    assert!(settings.stream("cam").is_err(), "no tracks are set");
}

#[test]
fn variables_alone_are_enough_for_one_stream() {
    let variables = [
        ("KVS_PRODUCER_BUFFER_BYTES", "64 MiB"),
        ("KVS_PRODUCER_ARBITERS", "2"),
        ("KVS_STREAM_NAME", "Front.Door"),
        ("KVS_STREAM_TRACKS", "h264,aac"),
        ("KVS_STREAM_TAGS", "site=north,floor=2"),
        ("KVS_STREAM_PRESET", "offline"),
        ("KVS_STREAM_CREATE_STREAM", "false"),
        ("KVS_STREAM_RETENTION_HOURS", "2"),
        ("KVS_STREAM_RETRY_THROTTLE_CAP", "1min"),
        ("KVS_STREAM_RATE_FRAGMENTS_PER_SECOND", "none"),
        ("KVS_LOG", "debug"),
        ("HOME", "/"),
    ];
    let settings = Settings::sources().variables(variables).load().unwrap();
    assert_eq!(settings.producer.buffer_bytes, 64 << 20);
    assert_eq!(settings.producer.arbiters, 2);
    let [stream] = &settings.streams[..] else {
        panic!("{:?}", settings.streams);
    };
    assert_eq!(stream.name, "Front.Door");
    assert_eq!(stream.tracks.len(), 2);
    assert_eq!(stream.tags["floor"], "2");
    assert_eq!(stream.buffer_duration, None);
    assert!(!stream.create_stream);
    assert_eq!(stream.retention_hours, 2);
    assert_eq!(stream.retry.throttle_cap, Duration::from_secs(60));
    assert_eq!(stream.rate.fragments_per_second, None);
}

#[test]
fn a_variable_goes_over_a_file_and_a_streams_own_table_over_both() {
    let settings = Settings::sources()
        .toml(
            r#"
            producer.region = "eu-west-1"
            producer.arbiters = 3
            [stream]
            tracks = ["h264"]
            idle_timeout = "1s"
            staleness = "1s"
            put_timeout = "1s"
            [streams."Cam-1.yard"]
            put_timeout = "3s"
            retry.cap = "9s"
            "#,
        )
        .variables([
            ("KVS_PRODUCER_REGION", "ap-south-1"),
            ("KVS_STREAM_STALENESS", "2s"),
            ("KVS_STREAM_PUT_TIMEOUT", "2s"),
        ])
        .load()
        .unwrap();
    assert_eq!(settings.producer.region, "ap-south-1");
    assert_eq!(settings.producer.arbiters, 3);
    let seconds = |stream: &StreamConfig| {
        let times = [
            stream.idle_timeout.unwrap(),
            stream.staleness.unwrap(),
            stream.put_timeout,
        ];
        times.map(|time| time.as_secs())
    };
    assert_eq!(settings.streams[0].name, "Cam-1.yard");
    assert_eq!(seconds(&settings.streams[0]), [1, 2, 3]);
    assert_eq!(settings.streams[0].retry.cap, Duration::from_secs(9));
    assert_eq!(seconds(&settings.stream("other").unwrap()), [1, 2, 2]);
}

#[test]
fn a_preset_of_one_stream_stands_below_the_settings_of_every_stream() {
    let settings = Settings::sources()
        .toml(
            r#"
            [stream]
            tracks = ["h264"]
            put_timeout = "2s"
            [streams.archive]
            preset = "offline"
            "#,
        )
        .load()
        .unwrap();
    let archive = settings.stream("archive").unwrap();
    assert_eq!(archive.put_timeout, Duration::from_secs(2));
    assert_eq!(archive.buffer_duration, None);
}

#[test]
fn a_wrong_setting_is_told_with_its_place() {
    let variable = error_of("", &[("KVS_STREAM_RETRY_CAP", "5")]);
    assert_eq!(
        variable,
        "setting stream.retry.cap is \"5\" in KVS_STREAM_RETRY_CAP, allowed: a time with its unit, such as \"500ms\" or \
         \"1h 30min\", up to 7 days"
    );
    let unknown = error_of("", &[("KVS_PRODUCER_COLOUR", "red")]);
    let expected = "setting producer.colour is \"red\" in KVS_PRODUCER_COLOUR, allowed: the settings region,";
    assert!(unknown.starts_with(expected), "{unknown}");
    let own = error_of("[streams.cam]\nretention_hours = -1", &[]);
    let expected = "setting streams.cam.retention_hours is -1, allowed: 0 to 87600 hours";
    assert!(own.contains(expected), "{own}");
    let section = error_of("colour = 1", &[]);
    assert_eq!(
        section,
        "setting colour is 1, allowed: the tables producer, stream and streams"
    );
    let no_table = error_of("[streams]\ncam = 1", &[]);
    assert_eq!(no_table, "setting streams.cam is 1, allowed: a table of settings");
}

#[test]
fn files_come_one_over_another_and_are_named_when_they_are_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let base = file(
        "base.toml",
        "[producer]\narbiters = 2\nregion = \"eu-west-1\"\n[stream]\ntracks = [\"h264\"]\n",
    );
    let site = file("site.conf", "[producer]\narbiters = 4\n");
    let sources = Settings::sources().file(&base);
    let settings = sources.clone().file(&site).load().unwrap();
    assert_eq!(settings.producer.arbiters, 4);
    assert_eq!(settings.producer.region, "eu-west-1");

    let wrong = file("wrong.toml", "[stream]\nacks = \"sometimes\"\n");
    let error = sources.clone().file(&wrong).load().unwrap_err().to_string();
    let expected = "setting stream.acks is \"sometimes\" in ";
    assert!(error.starts_with(expected), "{error}");
    let expected = "wrong.toml, allowed: \"required\" or \"off\"";
    assert!(error.contains(expected), "{error}");

    let broken = file("broken.toml", "[stream\n");
    let error = sources.clone().file(&broken).load().unwrap_err().to_string();
    assert!(error.contains("broken.toml"), "{error}");

    let missing = directory.path().join("missing.toml");
    let error = sources.file(&missing).load().unwrap_err().to_string();
    assert!(error.contains("missing.toml"), "{error}");
}

#[test]
fn what_was_read_can_be_written_and_read_again() {
    let mut streams = vec![
        StreamConfig::realtime("a").h264().aac().tag("x", "y"),
        StreamConfig::near_realtime("b").h264(),
        StreamConfig::offline("c").h264(),
    ];
    streams[0].buffer_duration = None;
    for stream in streams {
        let written = serde_json::to_string(&stream).unwrap();
        let again: StreamConfig = serde_json::from_str(&written).unwrap();
        assert_eq!(format!("{again:?}"), format!("{stream:?}"));
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_written_makes_it_panic(toml in ".{0,200}", name in "[A-Z_]{0,20}", value in ".{0,40}") {
        let _ = Settings::sources().toml(toml).load();
        let settings = ProducerConfig::settings().into_iter().map(|setting| ("PRODUCER", setting));
        let settings = settings.chain(StreamConfig::settings().into_iter().map(|setting| ("STREAM", setting)));
        for (section, setting) in settings {
            let key = setting.name.to_uppercase().replace('.', "_");
            let known = (format!("KVS_{section}_{key}"), value.clone());
            let _ = Settings::sources().variables([known]).load();
        }
        let unknown = (format!("KVS_STREAM_{name}"), value);
        let _ = Settings::sources().variables([unknown]).load();
    }
}
