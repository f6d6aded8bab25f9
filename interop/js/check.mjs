// AWS's SDK for JavaScript against `kvs mock`: control plane, GetMedia, archived media.
import assert from "node:assert/strict";
import {
  CreateStreamCommand, DeleteStreamCommand, DescribeStreamCommand, GetDataEndpointCommand, KinesisVideoClient,
  ListStreamsCommand, ListTagsForStreamCommand, TagStreamCommand,
} from "@aws-sdk/client-kinesis-video";
import {
  GetMediaForFragmentListCommand, KinesisVideoArchivedMediaClient, ListFragmentsCommand,
} from "@aws-sdk/client-kinesis-video-archived-media";
import { GetMediaCommand, KinesisVideoMediaClient } from "@aws-sdk/client-kinesis-video-media";

const [phase, endpoint, StreamName, fragments] = process.argv.slice(2);
const settings = { endpoint, region: process.env.AWS_REGION, maxAttempts: 1 };
const video = new KinesisVideoClient(settings);

async function refusal(call) {
  try {
    await call;
  } catch (error) {
    return [error.name, error.$metadata.httpStatusCode];
  }
  assert.fail("the call should have been refused");
}

/** How often a text stands in a body. */
async function count(payload, text) {
  const body = Buffer.from(await payload.transformToByteArray());
  return body.toString("latin1").split(text).length - 1;
}

if (phase === "control") {
  const gone = await refusal(video.send(new DescribeStreamCommand({ StreamName })));
  assert.deepEqual(gone, ["ResourceNotFoundException", 404]);
  const { StreamARN } = await video.send(new CreateStreamCommand({ StreamName, DataRetentionInHours: 2 }));
  const { StreamInfo } = await video.send(new DescribeStreamCommand({ StreamARN }));
  assert.deepEqual([StreamInfo.Status, StreamInfo.DataRetentionInHours], ["ACTIVE", 2]);
  assert.ok(StreamInfo.CreationTime instanceof Date);
  await video.send(new TagStreamCommand({ StreamName, Tags: { place: "front door" } }));
  const { Tags } = await video.send(new ListTagsForStreamCommand({ StreamName }));
  assert.deepEqual(Tags, { place: "front door" });
} else {
  for (const APIName of ["GET_MEDIA", "LIST_FRAGMENTS"]) {
    const { DataEndpoint } = await video.send(new GetDataEndpointCommand({ StreamName, APIName }));
    assert.equal(DataEndpoint, endpoint);
  }
  const media = new KinesisVideoMediaClient(settings);
  const StartSelector = { StartSelectorType: "EARLIEST" };
  const read = await media.send(new GetMediaCommand({ StreamName, StartSelector }));
  assert.equal(await count(read.Payload, "AWS_KINESISVIDEO_FRAGMENT_NUMBER"), Number(fragments));

  const archive = new KinesisVideoArchivedMediaClient(settings);
  const listed = await archive.send(new ListFragmentsCommand({ StreamName }));
  assert.equal(listed.Fragments.length, Number(fragments));
  assert.ok(listed.Fragments[0].ProducerTimestamp instanceof Date);
  const Fragments = listed.Fragments.map((fragment) => fragment.FragmentNumber);
  const list = await archive.send(new GetMediaForFragmentListCommand({ StreamName, Fragments }));
  assert.equal(await count(list.Payload, "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP"), Number(fragments));

  const { StreamInfoList } = await video.send(new ListStreamsCommand({}));
  assert.deepEqual(StreamInfoList.map((stream) => stream.StreamName), [StreamName]);
  await video.send(new DeleteStreamCommand({ StreamARN: StreamInfoList[0].StreamARN }));
  const gone = await refusal(video.send(new DescribeStreamCommand({ StreamName })));
  assert.equal(gone[0], "ResourceNotFoundException");
}
