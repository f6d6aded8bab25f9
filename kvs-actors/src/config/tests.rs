//! Every setting, every way in: builder, serde, files and variables.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use kvs_client::{AckMode, EndpointVariant};
use kvs_mkv::{
    KeyFramePolicy, LeadingPicturePolicy, OrderConfig, SilencePolicy, SkewPolicy, TimecodeScale,
    TimestampPolicy, Track,
};
use kvs_storage::OverflowPolicy;

use super::{FragmentTimes, Handover, ProducerConfig, RollbackPolicy, StreamConfig};
use crate::machine::{RateLimits, RetryPolicy};
use crate::time_base::TimeBase;

/// A setting of a stream; values it may have, the first unlike the default; and some that it may not.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    fn(&StreamConfig) -> bool,
);

/// Values as JSON has them, which TOML shares for these.
const STREAM: &[Row] = &[
    ("name", &[r#""yard""#], &[r#""back yard""#, r#""""#, "7"], |c| {
        c.name == "yard"
    }),
    (
        "tracks",
        &[r#"["h265", "alaw/8000/1"]"#, r#"[{ "codec": "h264" }]"#],
        &["[]", r#"["h264", "h264"]"#, r#"["h266"]"#, "1"],
        |c| c.tracks == [Track::h265(), Track::alaw(8_000, 1).unwrap()],
    ),
    (
        "time_base",
        &[
            r#""2024-05-01T12:00:00Z""#,
            r#""epoch""#,
            r#""anchor_at_first_frame""#,
        ],
        &[r#""yesterday""#, r#""1969-12-31T23:59:59Z""#, "0"],
        |c| c.time_base == TimeBase::StartAt(UNIX_EPOCH + Duration::from_secs(1_714_564_800)),
    ),
    (
        "retention_hours",
        &["48", "0", "87600"],
        &["87601", "-1", "1.5", r#""2h""#],
        |c| c.retention_hours == 48,
    ),
    ("create_stream", &["false", "true"], &["1", r#""perhaps""#], |c| {
        !c.create_stream
    }),
    (
        "tags",
        &[r#"{ "site": "north wing" }"#, "{}"],
        &[r#"{ "site": 1 }"#, r#"{ "": "x" }"#, r#"{ "a": "%" }"#, "[]"],
        |c| c.tags.get("site").is_some_and(|site| site == "north wing"),
    ),
    (
        "kms_key_id",
        &[r#""alias/video""#, r#""none""#],
        &[r#""""#, "1"],
        |c| c.kms_key_id.as_deref() == Some("alias/video"),
    ),
    (
        "put_timeout",
        &[r#""1500ms""#, r#""0s""#],
        &["5", r#""5""#, r#""8days""#],
        |c| c.put_timeout == Duration::from_millis(1_500),
    ),
    (
        "overflow",
        &[
            r#""wait 3s""#,
            r#""refuse""#,
            r#""drop_until_fragment_start""#,
            r#""drop_tail_item""#,
        ],
        &[r#""wait""#, r#""refuse 3s""#, r#""wait 8days""#, r#""drop""#],
        |c| c.overflow == OverflowPolicy::Wait(Duration::from_secs(3)),
    ),
    (
        "buffer_duration",
        &[r#""5min""#, r#""none""#],
        &[r#""0s""#, r#""8days""#, "120"],
        |c| c.buffer_duration == Some(Duration::from_secs(300)),
    ),
    (
        "fragment_times",
        &[r#""relative""#, r#""absolute""#],
        &[r#""Relative""#, "true"],
        |c| c.fragment_times == FragmentTimes::Relative,
    ),
    (
        "timecode_scale",
        &[r#""1us""#, r#""100ns""#, r#""1s""#],
        &[r#""99ns""#, r#""1001ms""#, "1000000"],
        |c| c.timecode_scale == TimecodeScale::new(1_000).unwrap(),
    ),
    ("acks", &[r#""off""#, r#""required""#], &["false"], |c| {
        c.acks == AckMode::Off
    }),
    (
        "rollback",
        &[r#""replay 40s""#, r#""unpersisted""#, r#""after_received""#],
        &[r#""replay""#, r#""replay 8days""#, r#""unpersisted 1s""#],
        |c| c.rollback == RollbackPolicy::Replay(Duration::from_secs(40)),
    ),
    ("retry.base", &[r#""50ms""#], &["50", r#""8days""#], |c| {
        c.retry.base == Duration::from_millis(50)
    }),
    ("retry.cap", &[r#""10s""#], &["10", r#""8days""#], |c| {
        c.retry.cap == Duration::from_secs(10)
    }),
    ("retry.throttle_cap", &[r#""1min""#], &["10", r#""8days""#], |c| {
        c.retry.throttle_cap == Duration::from_secs(60)
    }),
    (
        "retry.connect_spacing",
        &[r#""2s""#],
        &["10", r#""8days""#],
        |c| c.retry.connect_spacing == Duration::from_secs(2),
    ),
    (
        "rate.fragments_per_second",
        &["2", r#""none""#],
        &["0", "-1", r#""fast""#],
        |c| c.rate.fragments_per_second == Some(2),
    ),
    (
        "rate.bytes_per_second",
        &[r#""1 MiB""#, "1000", r#""none""#],
        &["0", r#""1 mb""#, "true"],
        |c| c.rate.bytes_per_second == Some(1 << 20),
    ),
    (
        "session_duration",
        &[r#""30min""#, r#""45min""#],
        &[r#""46min""#, r#""0s""#, r#""none""#],
        |c| c.session_duration == Duration::from_secs(1_800),
    ),
    ("last_ack_timeout", &[r#""2s""#], &["2", r#""8days""#], |c| {
        c.last_ack_timeout == Duration::from_secs(2)
    }),
    (
        "handover",
        &[r#""overlap""#, r#""await_last_ack""#],
        &[r#""later""#],
        |c| c.handover == Handover::Overlap,
    ),
    (
        "received_limit",
        &[r#""10s""#, r#""none""#],
        &[r#""0s""#, r#""8days""#, "1"],
        |c| c.received_limit == Some(Duration::from_secs(10)),
    ),
    (
        "max_latency",
        &[r#""10s""#, r#""none""#],
        &[r#""0s""#, r#""8days""#, "1"],
        |c| c.max_latency == Some(Duration::from_secs(10)),
    ),
    (
        "idle_timeout",
        &[r#""10s""#, r#""none""#],
        &[r#""0s""#, r#""8days""#, "1"],
        |c| c.idle_timeout == Some(Duration::from_secs(10)),
    ),
    (
        "staleness",
        &[r#""10s""#, r#""none""#],
        &[r#""0s""#, r#""8days""#, "1"],
        |c| c.staleness == Some(Duration::from_secs(10)),
    ),
    (
        "silence_limit",
        &[r#""10s""#, r#""none""#],
        &[r#""0s""#, r#""8days""#, "1"],
        |c| c.silence_limit == Some(Duration::from_secs(10)),
    ),
    (
        "order.leading_audio",
        &[r#""2s""#, r#""0s""#],
        &[r#""61s""#, "1"],
        |c| c.order.leading_audio == Duration::from_secs(2),
    ),
    ("order.silence", &[r#""refuse""#, r#""roll""#], &["true"], |c| {
        c.order.silence == SilencePolicy::Refuse
    }),
    (
        "order.min_fragment",
        &[r#""1s""#],
        &[r#""199ms""#, r#""21s""#],
        |c| c.order.min_fragment == Duration::from_secs(1),
    ),
    (
        "order.intra_fragment",
        &[r#""2s""#],
        &[r#""199ms""#, r#""21s""#],
        |c| c.order.intra_fragment == Duration::from_secs(2),
    ),
    (
        "order.max_fragment",
        &[r#""18s""#],
        &[r#""199ms""#, r#""21s""#],
        |c| c.order.max_fragment == Duration::from_secs(18),
    ),
    (
        "order.max_fragment_bytes",
        &[r#""10 MB""#, "50000000"],
        &["0", "50000001", r#""much""#],
        |c| c.order.max_fragment_bytes == 10_000_000,
    ),
    (
        "order.key_frames",
        &[r#""cut_anywhere""#, r#""refuse""#, r#""drop_until_key_frame""#],
        &[r#""cut""#],
        |c| c.order.key_frames == KeyFramePolicy::CutAnywhere,
    ),
    (
        "order.leading_pictures",
        &[r#""drop""#, r#""keep""#],
        &["false"],
        |c| c.order.leading_pictures == LeadingPicturePolicy::Drop,
    ),
    (
        "order.timestamps",
        &[r#""refuse""#, r#""correct""#],
        &["false"],
        |c| c.order.timestamps == TimestampPolicy::Refuse,
    ),
    ("order.jump", &[r#""5s""#], &["5", r#""8days""#], |c| {
        c.order.jump == Duration::from_secs(5)
    }),
    ("order.max_skew", &[r#""5s""#], &["5", r#""8days""#], |c| {
        c.order.max_skew == Duration::from_secs(5)
    }),
    ("order.skew", &[r#""rebase""#, r#""refuse""#], &["false"], |c| {
        c.order.skew == SkewPolicy::Rebase
    }),
    ("order.max_queued_frames", &["64"], &["0", "65537"], |c| {
        c.order.max_queued_frames == 64
    }),
];

const PRODUCER: &[(&str, &[&str], &[&str])] = &[
    (
        "region",
        &[r#""eu-central-1""#],
        &[r#""""#, r#""eu central""#, "1"],
    ),
    (
        "endpoint",
        &[r#""http://127.0.0.1:8080""#, r#""none""#],
        &[r#""127.0.0.1""#, r#""ftp://x""#],
    ),
    (
        "endpoint_variant",
        &[
            r#""fips""#,
            r#""standard""#,
            r#""dual_stack""#,
            r#""fips_dual_stack""#,
        ],
        &[r#""ipv6""#],
    ),
    ("ca_file", &[r#""/etc/ca.pem""#, r#""none""#], &[r#""""#, "1"]),
    ("connect_timeout", &[r#""2s""#], &[r#""0s""#, r#""11min""#, "2"]),
    ("call_timeout", &[r#""20s""#], &[r#""0s""#, r#""11min""#, "2"]),
    (
        "user_agent",
        &[r#""porch/1.0""#, r#""none""#],
        &[r#""""#, r#""ü""#, "1"],
    ),
    (
        "buffer_bytes",
        &[r#""64 MiB""#, "1048576"],
        &["1048575", r#""64""#, r#""64 mib""#, "-1"],
    ),
    ("arbiters", &["4", "256"], &["0", "257", r#""all""#]),
    (
        "spool_directory",
        &[r#""/var/spool/kvs""#, r#""none""#],
        &[r#""""#, "1"],
    ),
    (
        "spool.sync",
        &[r#""never""#, r#""each_fragment""#, r#""interval 2s""#],
        &[r#""interval""#, r#""interval 2h""#, r#""never 2s""#],
    ),
    (
        "spool.max_bytes_per_stream",
        &[r#""4 GiB""#],
        &["1048575", r#""much""#],
    ),
    (
        "spool.max_bytes_total",
        &[r#""4 GiB""#, r#""none""#],
        &["1048575", r#""much""#],
    ),
    ("spool.max_duration", &[r#""6h""#, r#""none""#], &[r#""0s""#, "6"]),
    ("spool.memory", &[r#""32 MiB""#, "0"], &["-1", r#""much""#]),
    ("spool.read_ahead", &[r#""2 MiB""#], &["65535", r#""much""#]),
    ("spool.segment_bytes", &[r#""8 MiB""#], &["65535", r#""much""#]),
];

/// `"outer": {"inner": value}`
fn nested(key: &str, value: &str) -> String {
    match key.split_once('.') {
        Some((outer, inner)) => format!(r#""{outer}": {{ "{inner}": {value} }}"#),
        None => format!(r#""{key}": {value}"#),
    }
}

/// The same with what every stream has to have.
fn stream_json(key: &str, value: &str) -> String {
    let nested = nested(key, value);
    let name = if key == "name" { "" } else { r#""name": "cam", "# };
    let tracks = if key == "tracks" {
        ""
    } else {
        r#""tracks": ["h264"], "#
    };
    format!("{{ {name}{tracks}{nested} }}")
}

fn stream(key: &str, value: &str) -> Result<StreamConfig, String> {
    serde_json::from_str(&stream_json(key, value)).map_err(|error| error.to_string())
}

fn producer(key: &str, value: &str) -> Result<ProducerConfig, String> {
    serde_json::from_str(&format!("{{ {} }}", nested(key, value))).map_err(|error| error.to_string())
}

/// A wrong setting is told with its name, its value and what is allowed.
fn assert_told(error: &str, key: &str, value: &str, allowed: &str) {
    let value: super::value::Value = serde_json::from_str(value).unwrap();
    let expected = format!("setting {key} is {value}, allowed: {allowed}");
    assert!(error.contains(&expected), "{error}\n{expected}");
}

#[test]
fn the_tables_name_every_field() {
    // A field that is added stops this from compiling until it has its setting.
    let StreamConfig {
        name: _,
        tracks: _,
        time_base: _,
        retention_hours: _,
        create_stream: _,
        tags: _,
        kms_key_id: _,
        put_timeout: _,
        overflow: _,
        buffer_duration: _,
        fragment_times: _,
        timecode_scale: _,
        acks: _,
        rollback: _,
        retry:
            RetryPolicy {
                base: _,
                cap: _,
                throttle_cap: _,
                connect_spacing: _,
            },
        rate: RateLimits {
            fragments_per_second: _,
            bytes_per_second: _,
        },
        session_duration: _,
        last_ack_timeout: _,
        handover: _,
        received_limit: _,
        max_latency: _,
        idle_timeout: _,
        staleness: _,
        silence_limit: _,
        order:
            OrderConfig {
                // The stream's own.
                scale: _,
                silence_limit: _,
                leading_audio: _,
                silence: _,
                min_fragment: _,
                intra_fragment: _,
                max_fragment: _,
                max_fragment_bytes: _,
                key_frames: _,
                leading_pictures: _,
                timestamps: _,
                jump: _,
                max_skew: _,
                skew: _,
                max_queued_frames: _,
            },
    } = StreamConfig::realtime("x");
    let tested: BTreeSet<&str> = STREAM.iter().map(|row| row.0).collect();
    let settings = StreamConfig::settings();
    let known: BTreeSet<&str> = settings.iter().map(|setting| setting.name).collect();
    assert_eq!(known.difference(&tested).collect::<Vec<_>>(), [&"preset"]);
    assert_eq!(tested.len(), 41);

    let tested: BTreeSet<&str> = PRODUCER.iter().map(|row| row.0).collect();
    let settings = ProducerConfig::settings();
    assert_eq!(tested, settings.iter().map(|setting| setting.name).collect());
    assert_eq!(tested.len(), 17);
}

#[test]
fn every_setting_of_a_stream_is_read_and_written_so_that_it_reads_the_same() {
    for (key, values, _, is_first) in STREAM {
        let default = serde_json::to_string(&StreamConfig::realtime("cam").h264()).unwrap();
        for (index, value) in values.iter().enumerate() {
            let config = stream(key, value).unwrap();
            let written = serde_json::to_string(&config).unwrap();
            assert_eq!(is_first(&config), index == 0, "{key} = {value}");
            assert!(index > 0 || written != default, "{key} = {value} is the default");
            let again: StreamConfig = serde_json::from_str(&written).unwrap();
            assert_eq!(serde_json::to_string(&again).unwrap(), written);
            assert_eq!(is_first(&again), index == 0, "{key} = {value}, written {written}");
        }
    }
}

#[test]
fn every_setting_of_a_producer_is_read_and_written_so_that_it_reads_the_same() {
    for (key, values, _) in PRODUCER {
        assert_ne!(producer(key, values[0]).unwrap(), ProducerConfig::default());
        for value in *values {
            let config = producer(key, value).unwrap();
            let written = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<ProducerConfig>(&written).unwrap(), config);
        }
    }
}

#[test]
fn a_wrong_value_of_a_stream_is_told_with_its_key_and_what_is_allowed() {
    let settings = StreamConfig::settings();
    for (key, _, wrong, _) in STREAM {
        let setting = settings.iter().find(|setting| setting.name == *key).unwrap();
        for value in *wrong {
            let error = stream(key, value).expect_err(value);
            assert_told(&error, key, value, setting.allowed);
        }
    }
}

#[test]
fn a_wrong_value_of_a_producer_is_told_with_its_key_and_what_is_allowed() {
    let settings = ProducerConfig::settings();
    for (key, _, wrong) in PRODUCER {
        let setting = settings.iter().find(|setting| setting.name == *key).unwrap();
        for value in *wrong {
            let error = producer(key, value).expect_err(value);
            assert_told(&error, key, value, setting.allowed);
        }
    }
}

#[test]
fn a_builder_is_told_the_same() {
    let error = StreamConfig::realtime("front door")
        .h264()
        .validate()
        .unwrap_err();
    let expected = r#"setting name is "front door", allowed: 1 to 256 characters out of a-z A-Z 0-9 _ . -"#;
    assert_eq!(error.to_string(), expected);

    let week = Duration::from_secs(8 * 86_400);
    let wrong = [
        (
            "buffer_duration",
            StreamConfig::realtime("x").buffer_duration(Some(Duration::ZERO)),
        ),
        ("put_timeout", StreamConfig::realtime("x").put_timeout(week)),
        (
            "retention_hours",
            StreamConfig::realtime("x").retention_hours(87_601),
        ),
        (
            "retry.cap",
            StreamConfig::realtime("x").retry(RetryPolicy::default().with_cap(week)),
        ),
        ("tags", StreamConfig::realtime("x").tag("", "y")),
    ];
    for (key, config) in wrong {
        let error = config.h264().validate().unwrap_err().to_string();
        assert!(error.starts_with(&format!("setting {key} is ")), "{error}");
    }
    assert!(StreamConfig::realtime("x").validate().is_err());
    assert!(StreamConfig::realtime("x").h264().h264().validate().is_err());

    let config = ProducerConfig {
        endpoint_variant: EndpointVariant::DualStack,
        buffer_bytes: 7,
        ..ProducerConfig::default()
    };
    let error = config.validate().unwrap_err().to_string();
    assert!(error.starts_with("setting buffer_bytes is 7, allowed: 1048576 (1 MiB) or more"));
}

#[test]
fn what_is_no_setting_is_told_with_those_there_are() {
    for key in ["colour", "retry.colour", "retry"] {
        let error = stream(key, "7").unwrap_err();
        let expected = format!("setting {key} is 7, allowed: the settings name, tracks, ");
        assert!(error.contains(&expected), "{error}");
    }
    let error = producer("colour", "{}").unwrap_err();
    assert!(error.contains("setting colour is { }, allowed: the settings region, endpoint"));
}

#[test]
fn a_preset_is_what_the_other_settings_stand_on() {
    let config = stream("preset", r#""offline""#).unwrap();
    assert_eq!(config.overflow, OverflowPolicy::Refuse);
    assert_eq!(config.buffer_duration, None);
    let config = stream("preset", r#""near_realtime""#).unwrap();
    assert_eq!(config.buffer_duration, Some(Duration::from_secs(600)));
    let error = stream("preset", r#""sometimes""#).unwrap_err();
    assert!(error.contains(r#"setting preset is "sometimes", allowed: "realtime", "#));
    for preset in [
        StreamConfig::realtime("a"),
        StreamConfig::near_realtime("a"),
        StreamConfig::offline("a"),
    ] {
        preset.h264().aac().validate().unwrap();
    }
}
