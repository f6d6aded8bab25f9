//! The cases.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use kvs_client::{
    AckEvent, ApiName, ClientErrorKind, ControlPlane, CreateStream, GetMedia, MediaTransport,
    PutMediaRequest, StartSelector, api,
};
use kvs_mkv::{Demuxer, MkvEvent};

use super::body::Body;
use super::session::{finish_with, head, next_said, now_ms};
use super::{Case, TruthCheck, text};

macro_rules! cases {
    ($($name:ident: $expects:literal, $source:literal;)+) => {
        pub(super) const ALL: &[Case] = &[$(Case {
            name: stringify!($name),
            expects: $expects,
            source: $source,
            check: |check| Box::pin($name(check)),
        }),+];
    };
}

cases! {
    unknown_stream: "an unknown stream is not found", "DescribeStream";
    name_in_use: "a stream's name is taken once", "CreateStream";
    tags: "a stream's tags are listed", "TagStream, ListTagsForStream";
    endpoints: "each data API has an endpoint", "GetDataEndpoint";
    unknown_stream_put: "PutMedia to an unknown stream is not found", "PutMedia";
    head_before_body: "the 200 head comes before any body", "PutMedia";
    ack_order: "a fragment is buffered, received, persisted, in this order", "PutMedia";
    end_of_fragment: "the end-of-fragment tag closes a fragment", "behaviour of the C producer";
    relative: "acknowledgements echo relative timecodes", "PutMedia";
    connection_limit: "a second connection is refused", "quotas";
    repeat: "a repeated fragment is taken on a new connection", "PutMedia";
    not_matroska: "what is not Matroska is refused with 4006", "PutMedia";
    timecode_order: "a cluster before the last one is refused with 4004", "PutMedia";
    too_long: "a fragment of 25 s is refused with 4002", "quotas";
    undeclared_track: "a block of an undeclared track is refused with 4010", "PutMedia";
    missing_track: "a fragment without a declared track is refused with 4011", "PutMedia";
    too_many_tracks: "four tracks are refused with 4012", "quotas";
    too_many_tags: "eleven tags on a fragment are refused with 4009", "quotas";
    read_back: "what was stored is read back", "GetMedia";
    listed: "stored fragments are listed with their producer timestamps", "ListFragments";
}

fn refused_as<T>(result: Result<T, kvs_client::ClientError>, kind: ClientErrorKind) -> Result<(), String> {
    match result {
        Ok(_) => Err("the call was answered".to_owned()),
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(text(error)),
    }
}

async fn unknown_stream(check: &TruthCheck) -> Result<(), String> {
    let name = format!("{}-none", check.stream);
    refused_as(
        check.control.describe_stream(&name).await,
        ClientErrorKind::NotFound,
    )
}

async fn name_in_use(check: &TruthCheck) -> Result<(), String> {
    let again = check
        .control
        .create_stream(CreateStream::new(&check.stream))
        .await;
    refused_as(again, ClientErrorKind::ResourceInUse)
}

async fn tags(check: &TruthCheck) -> Result<(), String> {
    let info = check.control.describe_stream(&check.stream).await.map_err(text)?;
    let tags = BTreeMap::from([("purpose".to_owned(), "truth check".to_owned())]);
    check.control.tag_stream(&info.arn, &tags).await.map_err(text)?;
    let list = api::ListTagsForStream {
        stream: api::StreamId::Name(check.stream.clone()),
        next_token: None,
    };
    let listed = check.control.call(&list).await.map_err(text)?;
    if listed.tags == tags {
        Ok(())
    } else {
        Err(format!("it listed {:?}", listed.tags))
    }
}

async fn endpoints(check: &TruthCheck) -> Result<(), String> {
    for api in [ApiName::PutMedia, ApiName::GetMedia, ApiName::ListFragments] {
        check.endpoint(api).await?;
    }
    Ok(())
}

async fn unknown_stream_put(check: &TruthCheck) -> Result<(), String> {
    let endpoint = check.endpoint(ApiName::PutMedia).await?;
    let request = PutMediaRequest::new(endpoint, format!("{}-none", check.stream));
    let mut connection = check.client.media_transport().open(request).await.map_err(text)?;
    refused_as(head(&mut connection).await?, ClientErrorKind::NotFound)
}

async fn head_before_body(check: &TruthCheck) -> Result<(), String> {
    let connection = check.open().await?;
    finish_with(connection, Body::with_tracks(&[1]).fragment(now_ms()).finish())
        .await
        .map(drop)
}

async fn ack_order(check: &TruthCheck) -> Result<(), String> {
    let at = now_ms();
    let said = check
        .send(Body::with_tracks(&[1]).fragment(at).fragment(at + 2_000).finish())
        .await?;
    for timecode in [at, at + 2_000] {
        let place = |event: &AckEvent| said.iter().position(|said| said.is(event, timecode));
        let places = [
            place(&AckEvent::Buffering),
            place(&AckEvent::Received),
            place(&AckEvent::Persisted),
        ];
        if !(places.iter().all(Option::is_some) && places.is_sorted()) {
            return Err(format!("it said {said:?}"));
        }
    }
    Ok(())
}

async fn end_of_fragment(check: &TruthCheck) -> Result<(), String> {
    let at = now_ms();
    let mut connection = check.open().await?;
    let body = Body::with_tracks(&[1]).fragment(at).end_of_fragment().finish();
    connection.writer.write(&mut vec![body]).await.map_err(text)?;
    // The body goes on; only the tag can have closed it.
    loop {
        match next_said(&mut connection).await? {
            Some(said) if said.is(&AckEvent::Received, at) => break,
            Some(said) if said.event == AckEvent::Buffering => {}
            other => return Err(format!("it said {other:?}")),
        }
    }
    finish_with(connection, bytes::Bytes::new()).await.map(drop)
}

async fn relative(check: &TruthCheck) -> Result<(), String> {
    let request = PutMediaRequest::new(check.endpoint(ApiName::PutMedia).await?, &check.stream);
    let connection = check.open_with(request.relative_to(SystemTime::now())).await?;
    let said = finish_with(connection, Body::with_tracks(&[1]).fragment(1_000).finish()).await?;
    let echoed = said.iter().any(|said| said.is(&AckEvent::Received, 1_000));
    if echoed {
        Ok(())
    } else {
        Err(format!("it said {said:?}"))
    }
}

async fn connection_limit(check: &TruthCheck) -> Result<(), String> {
    let at = now_ms();
    let mut first = check.open().await?;
    let body = Body::with_tracks(&[1]).fragment(at).finish();
    first.writer.write(&mut vec![body]).await.map_err(text)?;
    next_said(&mut first).await?;
    let request = PutMediaRequest::new(check.endpoint(ApiName::PutMedia).await?, &check.stream);
    let mut second = check.client.media_transport().open(request).await.map_err(text)?;
    let verdict = head(&mut second).await?;
    drop(second);
    finish_with(first, bytes::Bytes::new()).await?;
    refused_as(verdict, ClientErrorKind::ConnectionLimit)
}

async fn repeat(check: &TruthCheck) -> Result<(), String> {
    let at = now_ms();
    for _ in 0..2 {
        let said = check.send(Body::with_tracks(&[1]).fragment(at).finish()).await?;
        if !said.iter().any(|said| said.is(&AckEvent::Persisted, at)) {
            return Err(format!("it said {said:?}"));
        }
        tokio::time::sleep(check.pause).await;
    }
    Ok(())
}

async fn not_matroska(check: &TruthCheck) -> Result<(), String> {
    check
        .expect_error(Body::default().raw(&[0x5a; 4_096]).finish(), 4006)
        .await
}

async fn timecode_order(check: &TruthCheck) -> Result<(), String> {
    let at = now_ms();
    check
        .expect_error(
            Body::with_tracks(&[1]).fragment(at + 5_000).fragment(at).finish(),
            4004,
        )
        .await
}

async fn too_long(check: &TruthCheck) -> Result<(), String> {
    let body = Body::with_tracks(&[1]).cluster(now_ms());
    let body = (0..=25).fold(body, |body, second| body.block(1, second * 1_000, b"frame"));
    check.expect_error(body.finish(), 4002).await
}

async fn undeclared_track(check: &TruthCheck) -> Result<(), String> {
    check
        .expect_error(
            Body::with_tracks(&[1])
                .cluster(now_ms())
                .block(2, 0, b"frame")
                .finish(),
            4010,
        )
        .await
}

async fn missing_track(check: &TruthCheck) -> Result<(), String> {
    let at = now_ms();
    check
        .expect_error(
            Body::with_tracks(&[1, 2])
                .fragment(at)
                .fragment(at + 2_000)
                .finish(),
            4011,
        )
        .await
}

async fn too_many_tracks(check: &TruthCheck) -> Result<(), String> {
    let body = Body::with_tracks(&[1, 2, 3, 4]).cluster(now_ms());
    let body = (1..=4).fold(body, |body, track| body.block(track, 0, b"frame"));
    check.expect_error(body.finish(), 4012).await
}

async fn too_many_tags(check: &TruthCheck) -> Result<(), String> {
    let at = now_ms();
    let body = Body::with_tracks(&[1])
        .fragment(at)
        .tags(&[("name", "value"); 11]);
    check.expect_error(body.fragment(at + 2_000).finish(), 4009).await
}

async fn read_back(check: &TruthCheck) -> Result<(), String> {
    let at = now_ms();
    check.send(Body::with_tracks(&[1]).fragment(at).finish()).await?;
    let endpoint = check.endpoint(ApiName::GetMedia).await?;
    let read = GetMedia::new(&check.stream, StartSelector::Earliest);
    let mut body = check.client.open_media(&endpoint, &read).await.map_err(text)?;
    let wanted = format!("frame 3 at {at}");
    let mut demuxer = Demuxer::default();
    let found = async {
        while let Some(chunk) = body.next().await {
            demuxer.push(chunk.map_err(text)?);
            while let Some(event) = demuxer.poll().map_err(|error| error.to_string())? {
                if matches!(&event, MkvEvent::Block(block) if block.data == wanted.as_bytes()) {
                    return Ok(());
                }
            }
        }
        Err("the response ended without the last frame".to_owned())
    };
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, found)
        .await
        .unwrap_or_else(|_| Err("the last frame did not come".to_owned()))
}

async fn listed(check: &TruthCheck) -> Result<(), String> {
    let at = now_ms();
    check.send(Body::with_tracks(&[1]).fragment(at).finish()).await?;
    // The list is eventually consistent, within a second.
    let endpoint = check.endpoint(ApiName::ListFragments).await?;
    let wanted = SystemTime::UNIX_EPOCH + Duration::from_millis(at);
    for _ in 0..5 {
        let list = api::ListFragments::by_name(&check.stream);
        let output = check.control.call_at(&endpoint, &list).await.map_err(text)?;
        let is_it = |time: SystemTime| {
            let apart = time
                .duration_since(wanted)
                .or_else(|_| wanted.duration_since(time));
            apart.is_ok_and(|apart| apart < Duration::from_millis(1))
        };
        if output
            .fragments
            .iter()
            .any(|fragment| fragment.producer_timestamp.is_some_and(|at| is_it(at.0)))
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err("the fragment was not in the list".to_owned())
}
