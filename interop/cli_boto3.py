#!/usr/bin/env python3
"""AWS's SDK for Python drives `kvs mock`: creates, describes and tags a stream, and reads media back."""

import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from kvs_mock import Mock

CLIP = os.environ["CLIP"]
STREAM = "boto3-stream"


def client(mock, service, endpoint, secret=None):
    return boto3.client(service, endpoint_url=endpoint, region_name=mock.region, aws_access_key_id=mock.key,
                        aws_secret_access_key=secret or mock.secret, config=Config(retries={"max_attempts": 1}))


def refusal(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("the call should have been refused")


def control_plane(mock):
    video = client(mock, "kinesisvideo", mock.endpoint)
    assert refusal(video.describe_stream, StreamName=STREAM) == ("ResourceNotFoundException", 404)
    arn = video.create_stream(StreamName=STREAM, DataRetentionInHours=2, MediaType="video/h264,audio/aac")["StreamARN"]
    info = video.describe_stream(StreamName=STREAM)["StreamInfo"]
    assert (info["StreamARN"], info["Status"], info["DataRetentionInHours"]) == (arn, "ACTIVE", 2), info
    assert refusal(video.create_stream, StreamName=STREAM)[0] == "ResourceInUseException"
    video.tag_stream(StreamARN=arn, Tags={"place": "front door"})
    stranger = client(mock, "kinesisvideo", mock.endpoint, secret="wrong")
    assert refusal(stranger.describe_stream, StreamName=STREAM)[1] == 403
    return video


def read_back(mock, video):
    endpoint = video.get_data_endpoint(StreamName=STREAM, APIName="GET_MEDIA")["DataEndpoint"]
    media = client(mock, "kinesis-video-media", endpoint)
    answer = media.get_media(StreamName=STREAM, StartSelector={"StartSelectorType": "EARLIEST"})
    body = bytearray()
    for chunk in answer["Payload"].iter_chunks(65536):
        body += chunk
    return body


def main():
    with Mock() as mock:
        video = control_plane(mock)
        summary = mock.put(CLIP, "--stream", STREAM)
        assert summary["fragments_persisted"] >= 5, summary
        body = read_back(mock, video)
        numbers = body.count(b"AWS_KINESISVIDEO_FRAGMENT_NUMBER")
        assert numbers == summary["fragments_persisted"], (numbers, summary)
        assert len(body) > summary["bytes"], (len(body), summary)
        print(f"boto3: stream made, tagged, {numbers} fragments in {len(body)} bytes read back")


if __name__ == "__main__":
    sys.exit(main())
