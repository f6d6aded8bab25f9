#!/usr/bin/env python3
"""A matrix of media through our muxer and demuxer, judged packet by packet by FFmpeg, MKVToolNix and GStreamer.

Muxing: FFmpeg makes a clip, ffprobe gives its packets (Annex-B and ADTS where the container has them so), our muxer writes them
as PutMedia sessions. ffprobe has to read these without a word on stderr, with the times, key flags, sizes and bytes that the packets
have when FFmpeg itself puts them into Matroska; mkvmerge has to take them with exit status 0 and keep them all; GStreamer has to
see as many buffers of the same sizes.
Demuxing: Matroska files of FFmpeg's and mkvmerge's own making, ours and ffprobe's reading of them compared likewise.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = Path(os.environ.get("INTEROP_DIR", ROOT / ".interop")) / "mkv_media"


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed with {done.returncode}: {' '.join(map(str, command))}\n{done.stdout[-2000:]!r}\n{done.stderr[-2000:]!r}")
    return done


def install():
    missing = []
    if not shutil.which("ffmpeg"):
        missing += ["ffmpeg"]
    if not shutil.which("mkvmerge"):
        missing += ["mkvtoolnix"]
    if not shutil.which("gst-launch-1.0") or subprocess.run(["gst-inspect-1.0", "matroskademux"], capture_output=True).returncode:
        missing += ["gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good", "gstreamer1.0-plugins-bad"]
    if missing:
        sudo = [] if os.getuid() == 0 else ["sudo"]
        run(*sudo, "apt-get", "update", "-qq")
        run(*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)


def build():
    run("cargo", "build", "--quiet", "-p", "kvs-mkv", "--example", "packets", cwd=ROOT)
    metadata = json.loads(run("cargo", "metadata", "--no-deps", "--format-version", "1", cwd=ROOT).stdout)
    return Path(metadata["target_directory"]) / "debug" / "examples" / "packets"


@dataclass
class Packet:
    stream: int
    pts: int  # nanoseconds
    dts: int
    key: bool
    data: bytes

    def seen(self, millis):
        return (self.stream, millis, self.key, len(self.data), hashlib.sha256(self.data).hexdigest()[:16])


def hexdump(text):
    """The bytes of ffprobe's dump: lines of `offset: hex hex …  text`."""
    return b"".join(bytes.fromhex(line[10:50].replace(" ", "")) for line in text.strip().splitlines())


def probe(path):
    """What ffprobe reads, quietly."""
    done = run("ffprobe", "-v", "warning", "-show_packets", "-show_data", "-show_streams", "-of", "json", path)
    noise = [line for line in done.stderr.decode().splitlines() if "start time for stream" not in line]
    read = json.loads(done.stdout)
    packets = []
    bases = {s["index"]: [int(part) for part in s["time_base"].split("/")] for s in read["streams"]}
    for packet in read["packets"]:
        stream = packet["stream_index"]
        number, denominator = bases[stream]
        pts = packet.get("pts", packet.get("dts", 0))
        nanos = lambda units: units * number * 1_000_000_000 // denominator
        dts = nanos(packet["dts"]) if "dts" in packet else None
        packets.append(Packet(stream, nanos(pts), dts, "K" in packet["flags"], hexdump(packet["data"])))
    # Matroska has no decoding times, and ffprobe does not know the first ones: count back from the first it knows.
    known = {}
    for packet in reversed(packets):
        if packet.dts is None:
            packet.dts = known.get(packet.stream, packet.pts) - 1_000_000
        known[packet.stream] = packet.dts
    return packets, read["streams"], noise


def without_trailing_zeros(data):
    """Length-prefixed NAL units less the zero bytes after each: FFmpeg leaves the first byte of a next start code on the last one,
    which Annex B says belongs to no unit."""
    units, position = [], 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        unit = data[position + 4 : position + 4 + size].rstrip(b"\0")
        units.append(len(unit).to_bytes(4, "big") + unit)
        position += 4 + size
    return b"".join(units)


def in_order(packets):
    """As a Matroska file tells them, stream by stream: the order between streams is a writer's own."""
    return sorted((packet.seen(packet.pts // 1_000_000) for packet in packets), key=lambda seen: seen[0])


def compare(what, expected, found):
    if expected == found:
        return
    for index, pair in enumerate(zip(expected, found)):
        if pair[0] != pair[1]:
            sys.exit(f"{what}: packet {index} is {pair[1]}, expected {pair[0]}; {len(found)} of {len(expected)} packets")
    sys.exit(f"{what}: {len(found)} packets, expected {len(expected)}")


@dataclass
class Item:
    name: str
    tracks: str
    source: list
    container: str = "ts"
    parts: list = field(default_factory=list)  # further sources that follow in time
    max_seconds: int = 9
    sessions: int = 1


VIDEO = ["-f", "lavfi", "-i"]
HD = "testsrc2=s=1920x1080:r=25:d=2"
SMALL = "testsrc2=s=320x240:r=25"
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "25"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=25"]


def tone(rate, channels, seconds=4):
    return ["-f", "lavfi", "-i", f"sine=r={rate}:d={seconds}", "-ac", str(channels)]


MATRIX = [
    Item("h264_1080p", "h264", VIDEO + [HD] + X264 + ["-bf", "0"]),
    Item("h264_1080p_b_frames", "h264", VIDEO + [HD] + X264 + ["-bf", "3"]),
    Item("h264_open_gop", "h264", VIDEO + [SMALL + ":d=4"] + X264 + ["-bf", "3", "-x264-params", "open-gop=1"]),
    Item("h264_4_slices_intra_refresh", "h264", VIDEO + [SMALL + ":d=4"] + X264 + ["-bf", "0", "-x264-params", "slices=4:intra-refresh=1"]),
    Item(
        "h264_480p_to_720p",
        "h264",
        VIDEO + ["testsrc2=s=640x480:r=25:d=2"] + X264,
        parts=[VIDEO + ["testsrc2=s=1280x720:r=25:d=2"] + X264],
        sessions=2,
    ),
    Item("h264_interlaced", "h264", VIDEO + [SMALL + ":d=3"] + X264 + ["-flags", "+ilme+ildct"]),
    Item("h264_variable_rate", "h264", VIDEO + [SMALL + ":d=4", "-vf", "select='not(mod(n,3))+lt(random(0),0.4)'", "-vsync", "vfr"] + X264),
    Item("h264_20_s_gop", "h264", VIDEO + [SMALL + ":d=22"] + X264 + ["-g", "500", "-keyint_min", "500", "-sc_threshold", "0"], max_seconds=30),
    Item("hevc_main", "h265", VIDEO + [SMALL + ":d=3", "-pix_fmt", "yuv420p"] + X265),
    Item("hevc_main10", "h265", VIDEO + [SMALL + ":d=3", "-pix_fmt", "yuv420p10le"] + X265),
    Item("h264_aac_48k_stereo", "h264,aac", VIDEO + [SMALL + ":d=4"] + tone(48000, 2) + X264 + ["-c:a", "aac"]),
    Item("h264_avcc_aac_16k_mono", "h264,aac", VIDEO + [SMALL + ":d=4"] + tone(16000, 1) + X264 + ["-c:a", "aac"], container="mkv"),
    Item("aac_48k_stereo", "aac", tone(48000, 2) + ["-c:a", "aac"]),
    Item("h264_alaw", "h264,alaw:8000:1", VIDEO + [SMALL + ":d=4"] + tone(8000, 1) + X264 + ["-bf", "0", "-c:a", "pcm_alaw"], container="mkv"),
    Item("h264_mulaw", "h264,mulaw:8000:1", VIDEO + [SMALL + ":d=4"] + tone(8000, 1) + X264 + ["-bf", "0", "-c:a", "pcm_mulaw"], container="mkv"),
    Item("mjpeg_pcm", "mjpeg,pcm:48000:2:16", VIDEO + [SMALL + ":d=3"] + tone(48000, 2, 3) + ["-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-c:a", "pcm_s16le"], container="mkv"),
]

# Gaps that FFmpeg leaves between the clips of one item, in nanoseconds.
GAP = 40_000_000


def make(name, source, container):
    path = WORK / f"{name}.{container}"
    run("ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *source, path)
    return path


def private_data(path, streams, name):
    """Codec private data from the container, where frames do not carry it."""
    dump = json.loads(run("ffprobe", "-v", "error", "-show_data", "-show_streams", "-of", "json", path).stdout)
    files = []
    for stream in dump["streams"]:
        data = hexdump(stream.get("extradata", ""))
        file = WORK / f"{name}.{stream['index']}.private"
        file.write_bytes(data)
        files.append(file if data else None)
    return files


def mux(item, packets_tool):
    expected, source, offset, tracks = [], [], 0, item.tracks
    for number, arguments in enumerate([item.source, *item.parts]):
        clip = make(f"{item.name}_{number}", arguments, item.container)
        packets, streams, _ = probe(clip)
        # The same packets in Matroska by FFmpeg's hand: for their bytes.
        reference = WORK / f"{item.name}_{number}_reference.mkv"
        run("ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-i", clip, "-map", "0", "-c", "copy", reference)
        by_hand, _, _ = probe(reference)
        for stream in {packet.stream for packet in packets}:
            mine = [packet for packet in packets if packet.stream == stream]
            theirs = [packet for packet in by_hand if packet.stream == stream]
            if len(mine) != len(theirs):
                sys.exit(f"{item.name}: FFmpeg's copy has {len(theirs)} packets of {len(mine)}")
            for packet, other in zip(mine, theirs):
                is_nal = item.tracks.split(",")[stream] in ("h264", "h265")
                data = without_trailing_zeros(other.data) if is_nal and item.container == "ts" else other.data
                expected.append((number, Packet(stream, packet.pts + offset, 0, packet.key, data)))
        for packet in packets:
            source.append(Packet(packet.stream, packet.pts + offset, packet.dts + offset, packet.key, packet.data))
        offset = max(packet.pts for packet in source) + GAP
        if item.container == "mkv":
            files = private_data(clip, streams, item.name)
            parts = item.tracks.split(",")
            tracks = ",".join(
                f"{part}={file}" if file and part.split(":")[0] in ("h264", "h265", "aac") else part for part, file in zip(parts, files)
            )
    index, data, prefix = (WORK / f"{item.name}.{end}" for end in ("index", "data", "out"))
    index.write_text("".join(f"{p.stream + 1} {p.pts} {p.dts} {int(p.key)} {len(p.data)}\n" for p in source))
    data.write_bytes(b"".join(packet.data for packet in source))
    for old in WORK.glob(f"{item.name}.out.*.mkv"):
        old.unlink()
    told = json.loads(run(packets_tool, "mux", tracks, index, data, prefix, item.max_seconds).stdout)
    if told["drops"] or told["sessions"] != item.sessions:
        sys.exit(f"{item.name}: {told}")
    for session in range(item.sessions):
        out = WORK / f"{item.name}.out.{session}.mkv"
        wanted = [packet for part, packet in expected if item.sessions == 1 or part == session]
        check_session(item, out, in_order(wanted))
    return told


def check_session(item, out, wanted):
    found, streams, noise = probe(out)
    if noise:
        sys.exit(f"{item.name}: ffprobe says {noise}")
    compare(f"{item.name}: ffprobe", wanted, in_order(found))

    merged = out.with_suffix(".merged.mkv")
    run("mkvmerge", "--quiet", "-o", merged, out)
    kept, _, _ = probe(merged)
    # mkvmerge takes access unit delimiters out, and moves the start: the number of packets and the key frames stay.
    count = lambda packets: sorted((packet.stream, packet.key) for packet in packets)
    if count(kept) != count(found):
        sys.exit(f"{item.name}: mkvmerge keeps {len(kept)} of {len(found)} packets")

    for stream in streams:
        kind = "video" if stream["codec_type"] == "video" else "audio"
        sizes = gstreamer(out, f"{kind}_0")
        theirs = [size for number, _, _, size, _ in wanted if number == stream["index"]]
        if sizes != theirs:
            sys.exit(f"{item.name}: GStreamer sees {len(sizes)} buffers of {kind}, expected {len(theirs)}")


def file(packets_tool):
    """A session as one file with an index: the same packets, a duration, and seeking that finds its key frame."""
    session, out = WORK / "h264_aac_48k_stereo.out.0.mkv", WORK / "file.mkv"
    run(packets_tool, "file", session, out)
    before, _, _ = probe(session)
    found, streams, noise = probe(out)
    if noise:
        sys.exit(f"file: ffprobe says {noise}")
    start = min(packet.pts for packet in before) // 1_000_000
    moved = [(stream, millis - start, *rest) for stream, millis, *rest in in_order(before)]
    compare("file: ffprobe", moved, in_order(found))
    run("mkvmerge", "--quiet", "-o", out.with_suffix(".merged.mkv"), out)
    duration = float(json.loads(run("ffprobe", "-v", "error", "-show_format", "-of", "json", out).stdout)["format"]["duration"])
    if not 3.9 < duration < 4.2:
        sys.exit(f"file: duration {duration}")
    seek = run("ffprobe", "-v", "warning", "-read_intervals", "2.5%+#1", "-select_streams", "v", "-show_entries", "packet=pts_time,flags", "-of", "csv=p=0", out)
    time, flags = seek.stdout.decode().split()[0].split(",")[:2]
    if seek.stderr or not (1.5 < float(time) <= 2.5) or "K" not in flags:
        sys.exit(f"file: a seek to 2.5 s finds {time} {flags} {seek.stderr}")
    return len(found)


def gstreamer(path, pad):
    done = run("gst-launch-1.0", "-v", "filesrc", f"location={path}", "!", "matroskademux", "name=demux", f"demux.{pad}", "!", "identity", "silent=false", "name=watch", "!", "fakesink", "sync=false")
    return [int(size) for size in re.findall(r"watch:sink\) \((\d+) bytes", done.stdout.decode().replace("\\", ""))]


FILES = [
    ("plain", []),
    ("live", ["-live", "1"]),
    ("crc", ["-write_crc32", "1", "-cluster_time_limit", "500"]),
    ("dash", ["-dash", "1", "-cluster_size_limit", "20000"]),
]


def demux(packets_tool):
    count = 0
    clip = make("demux_source", VIDEO + [SMALL + ":d=4"] + tone(48000, 2) + X264 + ["-bf", "2", "-c:a", "aac"], "mkv")
    files = []
    for name, options in FILES:
        path = WORK / f"demux_{name}.mkv"
        if name == "dash":
            run("ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-i", clip, "-map", "0:v", "-c", "copy", *options, path)
        else:
            run("ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-i", clip, "-map", "0", "-c", "copy", *options, path)
        files.append(path)
    # Lacing, block groups, EBML void and cues of another writer.
    merged = WORK / "demux_mkvmerge.mkv"
    run("mkvmerge", "--quiet", "-o", merged, files[0])
    files.append(merged)
    for path in files:
        data = WORK / "demux.data"
        lines = run(packets_tool, "demux", path, data).stdout.decode().split("\n")[:-1]
        bytes_read, position, found = data.read_bytes(), 0, []
        for line in lines:
            track, millis, size, key = map(int, line.split())
            packet = Packet(track - 1, millis * 1_000_000, 0, bool(key), bytes_read[position : position + size])
            found.append(packet)
            position += size
        expected, _, _ = probe(path)
        mine, theirs = in_order(found), in_order(expected)
        if path == merged:
            # FFmpeg adds up durations rounded to milliseconds within a laced block; ours are rounded once.
            mine = [a[:1] + b[1:2] + a[2:] if abs(a[1] - b[1]) <= 1 else a for a, b in zip(mine, theirs, strict=True)]
        compare(f"demux {path.name}", theirs, mine)
        count += len(found)
    return count


def main():
    install()
    WORK.mkdir(parents=True, exist_ok=True)
    tool = build()
    # Names of items choose some of them; `file` and `demux` are the rest.
    wanted = sys.argv[1:]
    for item in MATRIX:
        if not wanted or item.name in wanted:
            told = mux(item, tool)
            print(f"{item.name}: {told['frames']} packets in {told['fragments']} fragments, exact in ffprobe, mkvmerge and GStreamer", flush=True)
    if not wanted or "file" in wanted:
        print(f"file: {file(tool)} packets with an index, exact in ffprobe and mkvmerge, and seekable", flush=True)
    if not wanted or "demux" in wanted:
        print(f"demux: {demux(tool)} packets of {len(FILES) + 1} files, exact against ffprobe", flush=True)


main()
