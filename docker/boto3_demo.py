"""What a service under test does with a stream, against the mock named by KVS_ENDPOINT."""

import os

import boto3
from botocore.config import Config

# The mock may still be starting.
video = boto3.client("kinesisvideo", endpoint_url=os.environ["KVS_ENDPOINT"],
                     config=Config(retries={"max_attempts": 10, "mode": "standard"}))
arn = video.create_stream(StreamName="front-door", DataRetentionInHours=1)["StreamARN"]
info = video.describe_stream(StreamARN=arn)["StreamInfo"]
endpoint = video.get_data_endpoint(StreamName="front-door", APIName="PUT_MEDIA")["DataEndpoint"]
print(f"{info['StreamName']} is {info['Status']}; media goes to {endpoint}/putMedia")
