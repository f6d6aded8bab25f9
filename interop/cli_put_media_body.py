#!/usr/bin/env python3
"""ffprobe and mkvmerge read the body of a PutMedia request, each finding the clip's exact packet counts."""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from kvs_mock import Mock

CLIP = os.environ["CLIP"]
WORK = pathlib.Path(os.environ["INTEROP_DIR"]) / "put-media-body"


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)


def ffprobe_counts(path):
    """Packets per kind of track as ffprobe counts them; its exit status says little, so stderr has to be empty."""
    done = run("ffprobe", "-v", "warning", "-count_packets", "-show_entries", "stream=codec_type,nb_read_packets",
               "-of", "json", path)
    assert done.stderr == "", f"ffprobe {path}: {done.stderr}"
    return {s["codec_type"]: int(s["nb_read_packets"]) for s in json.loads(done.stdout)["streams"]}


def mkvmerge_counts(path):
    """Frames per kind of track as mkvmerge read them: it writes the file anew, and mkvinfo lists what is in there."""
    rewritten = path.with_suffix(".mkvmerge.mkv")
    done = run("mkvmerge", "-o", rewritten, path)
    # 1 are warnings, 2 are errors; both are told on stdout.
    assert done.returncode == 0, f"mkvmerge {path}: exit status {done.returncode}\n{done.stdout}"
    tracks = json.loads(run("mkvmerge", "-J", rewritten).stdout)["tracks"]
    frames = collections.Counter(map(int, re.findall(r"\btrack (\d+),", run("mkvinfo", "-s", rewritten).stdout)))
    return {t["type"]: frames[t["properties"]["number"]] for t in tracks}


def check(name, extra, times):
    directory = WORK / name
    with Mock("--capture", str(directory)) as mock:
        summary = mock.put(CLIP, "--stream", name, "--create", *extra)
    bodies = sorted(directory.glob("*.mkv"))
    assert len(bodies) == 1, f"expected one captured body, found {bodies}"
    expected = {kind: count * times for kind, count in ffprobe_counts(CLIP).items()}
    assert expected["video"] > 0 and expected["audio"] > 0, expected
    assert summary["frames_in"] == sum(expected.values()), (summary, expected)
    for tool, counts in ("ffprobe", ffprobe_counts(bodies[0])), ("mkvmerge", mkvmerge_counts(bodies[0])):
        assert counts == expected, f"{tool} counts {counts}, the clip has {expected}"
        print(f"{name}: {tool} reads {counts} from {bodies[0].stat().st_size} bytes")


def main():
    shutil.rmtree(WORK, ignore_errors=True)
    check("once", [], 1)
    check("looped", ["--loop", "3"], 3)


if __name__ == "__main__":
    sys.exit(main())
