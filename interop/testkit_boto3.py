#!/usr/bin/env python3
"""AWS's SDK for Python against `kvs mock`: every stream operation, every way to read, and media sent by AWS's own signer."""

import json
import os
import pathlib
import tempfile
import time

import boto3
import botocore.session
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session
from ebmlite import loadSchema
from kvsparser import Parser

from kvs_mock import Mock

CLIP = os.environ["CLIP"]
WORK = pathlib.Path(os.environ["INTEROP_DIR"])
STREAM = "sdk-stream"
HUB = "arn:aws:iot:us-west-2:123456789012:thing/hub"
CHANNEL = "arn:aws:kinesisvideo:us-west-2:123456789012:channel/talk/1500000000000"

# An operation of the service that AWS's SDK for Python doesn't have, in the form of its API models.
PUT_MEDIA_MODEL = {
    "version": "2.0",
    "metadata": {
        "apiVersion": "2017-09-30", "endpointPrefix": "kinesisvideo", "protocol": "rest-json",
        "protocols": ["rest-json"], "serviceFullName": "PutMedia", "serviceId": "Kinesis Video Ingest",
        "signatureVersion": "v4", "signingName": "kinesisvideo", "uid": "kinesis-video-ingest-2017-09-30",
    },
    "operations": {"PutMedia": {
        "name": "PutMedia", "http": {"method": "POST", "requestUri": "/putMedia"},
        "input": {"shape": "PutMediaInput"}, "output": {"shape": "PutMediaOutput"}, "authtype": "v4-unsigned-body",
    }},
    "shapes": {
        "Text": {"type": "string"},
        "Payload": {"type": "blob", "streaming": True},
        "PutMediaInput": {
            "type": "structure", "payload": "Payload",
            "required": ["StreamName", "FragmentTimecodeType", "Payload"],
            "members": {
                "StreamName": {"shape": "Text", "location": "header", "locationName": "x-amzn-stream-name"},
                "FragmentTimecodeType": {
                    "shape": "Text", "location": "header", "locationName": "x-amzn-fragment-timecode-type"},
                "ProducerStartTimestamp": {
                    "shape": "Text", "location": "header", "locationName": "x-amzn-producer-start-timestamp"},
                "FragmentAcknowledgmentRequired": {
                    "shape": "Text", "location": "header", "locationName": "x-amzn-fragment-acknowledgment-required"},
                "Payload": {"shape": "Payload"},
            },
        },
        "PutMediaOutput": {
            "type": "structure", "payload": "Payload", "members": {"Payload": {"shape": "Payload"}},
        },
    },
}


def client(mock, service, endpoint, verify=None):
    return boto3.client(
        service, endpoint_url=endpoint, region_name=mock.region, aws_access_key_id=mock.key,
        aws_secret_access_key=mock.secret, verify=verify, config=Config(retries={"max_attempts": 1}))


def refusal(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError("the call should have been refused")


def stream_operations(mock):
    """Calls all 26 operations of streams; answers how many different ones there were."""
    video = client(mock, "kinesisvideo", mock.endpoint)
    called = set()

    def call(name, **arguments):
        called.add(name)
        return getattr(video, name)(**arguments)

    arn = call("create_stream", StreamName=STREAM, DataRetentionInHours=2, MediaType="video/h264",
               DeviceName="door", Tags={"site": "north"})["StreamARN"]

    def info():
        return call("describe_stream", StreamARN=arn)["StreamInfo"]

    assert info()["Status"] == "ACTIVE"
    call("update_stream", StreamARN=arn, CurrentVersion=info()["Version"], MediaType="video/h264,audio/aac")
    assert refusal(video.update_stream, StreamARN=arn, CurrentVersion="stale") == "VersionMismatchException"
    call("update_data_retention", StreamName=STREAM, CurrentVersion=info()["Version"],
         Operation="INCREASE_DATA_RETENTION", DataRetentionChangeInHours=1)
    assert info()["DataRetentionInHours"] == 3
    assert info()["CreationTime"].timestamp() > time.time() - 60

    listed = call("list_streams", StreamNameCondition={"ComparisonOperator": "BEGINS_WITH", "ComparisonValue": "sdk"})
    assert [stream["StreamName"] for stream in listed["StreamInfoList"]] == [STREAM]
    for api in ("PUT_MEDIA", "GET_MEDIA", "LIST_FRAGMENTS", "GET_MEDIA_FOR_FRAGMENT_LIST"):
        endpoint = call("get_data_endpoint", StreamName=STREAM, APIName=api)["DataEndpoint"]
        assert endpoint == mock.endpoint, endpoint

    call("tag_stream", StreamName=STREAM, Tags={"place": "front door"})
    call("untag_stream", StreamName=STREAM, TagKeyList=["site"])
    assert call("list_tags_for_stream", StreamName=STREAM)["Tags"] == {"place": "front door"}
    call("tag_resource", ResourceARN=arn, Tags=[{"Key": "a", "Value": "b"}])
    assert call("list_tags_for_resource", ResourceARN=arn)["Tags"] == {"place": "front door", "a": "b"}
    call("untag_resource", ResourceARN=arn, TagKeyList=["a"])

    images = {"Status": "ENABLED", "ImageSelectorType": "PRODUCER_TIMESTAMP",
              "DestinationConfig": {"Uri": "s3://bucket/path", "DestinationRegion": "us-west-2"},
              "SamplingInterval": 3000, "Format": "JPEG", "FormatConfig": {"JPEGQuality": "80"}}
    call("update_image_generation_configuration", StreamName=STREAM, ImageGenerationConfiguration=images)
    described = call("describe_image_generation_configuration", StreamName=STREAM)
    assert described["ImageGenerationConfiguration"] == images
    notification = {"Status": "ENABLED",
                    "DestinationConfig": {"Uri": "arn:aws:sns:us-west-2:123456789012:topic"}}
    call("update_notification_configuration", StreamName=STREAM, NotificationConfiguration=notification)
    described = call("describe_notification_configuration", StreamName=STREAM)
    assert described["NotificationConfiguration"] == notification

    call("update_stream_storage_configuration", StreamName=STREAM, CurrentVersion=info()["Version"],
         StreamStorageConfiguration={"DefaultStorageTier": "WARM"})
    described = call("describe_stream_storage_configuration", StreamName=STREAM)
    assert described["StreamStorageConfiguration"] == {"DefaultStorageTier": "WARM"}
    call("update_media_storage_configuration", ChannelARN=CHANNEL,
         MediaStorageConfiguration={"StreamARN": arn, "Status": "ENABLED"})
    described = call("describe_media_storage_configuration", ChannelName="talk")
    assert described["MediaStorageConfiguration"]["StreamARN"] == arn
    mapped = call("describe_mapped_resource_configuration", StreamName=STREAM)
    assert mapped["MappedResourceConfigurationList"][0]["ARN"] == CHANNEL

    edge = {"HubDeviceArn": HUB, "RecorderConfig": {"MediaSourceConfig": {
        "MediaUriSecretArn": "arn:aws:secretsmanager:us-west-2:123456789012:secret:camera",
        "MediaUriType": "RTSP_URI"}}}
    call("start_edge_configuration_update", StreamName=STREAM, EdgeConfig=edge)
    assert call("describe_edge_configuration", StreamName=STREAM)["EdgeConfig"] == edge
    assert len(call("list_edge_agent_configurations", HubDeviceArn=HUB)["EdgeConfigs"]) == 1
    call("delete_edge_configuration", StreamName=STREAM)
    assert refusal(video.describe_edge_configuration, StreamName=STREAM) == "StreamEdgeConfigurationNotFoundException"

    second = call("create_stream", StreamName="short-lived")["StreamARN"]
    call("delete_stream", StreamARN=second)
    assert refusal(video.describe_stream, StreamARN=second) == "ResourceNotFoundException"

    for name, arguments in {
            "create_signaling_channel": {"ChannelName": "talk"},
            "delete_signaling_channel": {"ChannelARN": CHANNEL},
            "describe_signaling_channel": {"ChannelName": "talk"},
            "get_signaling_channel_endpoint": {"ChannelARN": CHANNEL},
            "list_signaling_channels": {},
            "update_signaling_channel": {"ChannelARN": CHANNEL, "CurrentVersion": "1"}}.items():
        assert refusal(getattr(video, name), **arguments) == "UnsupportedOperationException", name
    return len(called)


def elements(parent, identifier):
    return [child for child in parent if child.id == identifier]


def documents(body):
    """The Matroska documents in a body, cut where an EBML header begins."""
    mark = b"\x1a\x45\xdf\xa3"
    parts = body.split(mark)
    assert parts[0] == b""
    return [mark + part for part in parts[1:]]


def frames(body):
    """Every SimpleBlock of a body, in order, as a library that nobody here wrote reads it."""
    schema = loadSchema("matroska.xml")
    found = []
    for document in documents(body):
        segment = elements(schema.loads(document), 0x18538067)[0]
        for cluster in elements(segment, 0x1F43B675):
            found += [bytes(block.value)[4:] for block in elements(cluster, 0xA3)]
    return found


def read_everything(mock, sent, fragments):
    """Reads the stream in each way there is; every frame is the one that was sent."""
    media = client(mock, "kinesis-video-media", mock.endpoint)
    archive = client(mock, "kinesis-video-archived-media", mock.endpoint)
    earliest = {"StartSelectorType": "EARLIEST"}
    body = media.get_media(StreamName=STREAM, StartSelector=earliest)["Payload"].read()
    assert len(documents(body)) == fragments
    assert frames(body) == sent

    # A reader from PyPI takes the same answer fragment by fragment and decodes its pictures.
    parsed = list(Parser(media.get_media(StreamName=STREAM, StartSelector=earliest)))
    tags = parsed[0].tags
    for name in ("FRAGMENT_NUMBER", "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP"):
        assert f"AWS_KINESISVIDEO_{name}" in tags, tags
    assert len(parsed[0].images) > 0

    listed = []
    pages = archive.get_paginator("list_fragments")
    for page in pages.paginate(StreamName=STREAM, PaginationConfig={"PageSize": 2}):
        listed += page["Fragments"]
    assert len(listed) == fragments
    listed.sort(key=lambda fragment: fragment["ProducerTimestamp"])
    assert all(fragment["FragmentLengthInMilliseconds"] > 0 for fragment in listed)
    window = {"StartTimestamp": listed[1]["ProducerTimestamp"], "EndTimestamp": listed[2]["ProducerTimestamp"]}
    selected = archive.list_fragments(StreamName=STREAM, FragmentSelector={
        "FragmentSelectorType": "PRODUCER_TIMESTAMP", "TimestampRange": window})["Fragments"]
    assert len(selected) == 2, selected

    numbers = [fragment["FragmentNumber"] for fragment in listed]
    whole = archive.get_media_for_fragment_list(StreamName=STREAM, Fragments=numbers)["Payload"].read()
    assert frames(whole) == sent
    after = {"StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": numbers[-2]}
    last = media.get_media(StreamName=STREAM, StartSelector=after)["Payload"].read()
    assert len(documents(last)) == 1


def put_media_with_the_sdk(body):
    """Sends a body with AWS's signer, over TLS because botocore leaves a payload unsigned only there."""
    folder = WORK / "models" / "kinesis-video-ingest" / "2017-09-30"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "service-2.json").write_text(json.dumps(PUT_MEDIA_MODEL))
    os.environ["AWS_DATA_PATH"] = str(WORK / "models")
    with Mock("--https") as mock, tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
        pem.write(mock.facts["ca_pem"])
        pem.flush()
        client(mock, "kinesisvideo", mock.endpoint, verify=pem.name).create_stream(
            StreamName=STREAM, DataRetentionInHours=1)
        ingest = botocore.session.get_session().create_client(
            "kinesis-video-ingest", endpoint_url=mock.endpoint, region_name=mock.region, verify=pem.name,
            aws_access_key_id=mock.key, aws_secret_access_key=mock.secret)
        answer = ingest.put_media(
            StreamName=STREAM, FragmentTimecodeType="RELATIVE", ProducerStartTimestamp=f"{time.time():.3f}",
            FragmentAcknowledgmentRequired="1", Payload=body)
        events = [json.loads(line)["EventType"] for line in answer["Payload"].read().splitlines()]
        assert "ERROR" not in events, events
        return events.count("PERSISTED")


def presigned_query(mock):
    """A call whose signature stands in its query; botocore signs those over an empty body."""
    session = botocore.session.get_session()
    session.set_credentials(mock.key, mock.secret)
    request = AWSRequest(method="POST", url=f"{mock.endpoint}/listStreams")
    SigV4QueryAuth(session.get_credentials(), "kinesisvideo", mock.region, expires=60).add_auth(request)
    right = request.url
    for url, status in ((right, 200), (right.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), 403)):
        answer = URLLib3Session().send(AWSRequest(method="POST", url=url).prepare())
        assert answer.status_code == status, (url, answer.status_code, answer.text)


def main():
    captured = WORK / "testkit-boto3"
    with Mock("--capture", str(captured)) as mock:
        assert stream_operations(mock) == 26
        summary = mock.put(CLIP, "--stream", STREAM)
        fragments = summary["fragments_persisted"]
        assert fragments >= 5, summary
        body = (captured / f"{STREAM}-1.mkv").read_bytes()
        sent = frames(body)
        assert len(sent) == summary["frames_in"], (len(sent), summary)
        read_everything(mock, sent, fragments)
        presigned_query(mock)
    # The same body again, uploaded by the SDK; the captured one may be in either mode of timecodes.
    persisted = put_media_with_the_sdk(body)
    assert persisted == fragments, (persisted, fragments)
    print(f"boto3 called 26 stream operations, read {len(sent)} equal frames in 3 ways, and sent {persisted} fragments")


main()
