#!/usr/bin/env bash
# ffmpeg decodes every frame of the testkit's deterministic sources without a complaint.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$INTEROP_DIR/testkit-media
cargo run --quiet -p kvs-testkit --example media_files -- "$folder"

# An exit status of 0 is not enough: ffmpeg must have nothing to say, and every frame must come out.
frames() {
    ffprobe -v error -count_frames -select_streams "$2" -show_entries stream=nb_read_frames -of csv=p=0 "$1"
}
complaints=$(ffmpeg -v error -xerror -i "$folder/h264-aac.mkv" -f null - 2>&1 </dev/null)
[ -z "$complaints" ] || { echo "$complaints"; exit 1; }
video=$(frames "$folder/h264-aac.mkv" v:0)
audio=$(frames "$folder/h264-aac.mkv" a:0)
[ "$video" = 250 ] && [ "$audio" = 469 ] || { echo "decoded $video pictures and $audio audio frames"; exit 1; }
# Two seconds of each law, and they are the same tone: their difference stays below a companding step.
for law in alaw mulaw; do
    ffmpeg -v error -y -f "$law" -ar 8000 -ac 1 -i "$folder/tone.$law" -f s16le "$folder/$law.pcm" </dev/null
    [ "$(wc -c <"$folder/$law.pcm")" = 32000 ] || { echo "$law: not 2 s"; exit 1; }
done
python3 - "$folder" <<'PYTHON'
import array, pathlib, sys
folder = pathlib.Path(sys.argv[1])
alaw, mulaw = (array.array("h", (folder / f"{law}.pcm").read_bytes()) for law in ("alaw", "mulaw"))
worst = max(abs(a - b) for a, b in zip(alaw, mulaw))
assert max(alaw) > 12_000 and worst <= 1_024, (max(alaw), worst)
PYTHON
echo "ffmpeg decoded $video pictures, $audio AAC frames and both laws of G.711"
