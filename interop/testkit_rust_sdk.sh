#!/usr/bin/env bash
# AWS's SDK for Rust against `kvs mock`: control plane, GetMedia and archived media of what `kvs put` sent.
set -euo pipefail
cd "$(dirname "$0")"

export CARGO_TARGET_DIR=$INTEROP_DIR/rust-sdk
cargo build --quiet --locked --manifest-path rust-sdk/Cargo.toml
SDK=$CARGO_TARGET_DIR/debug/interop-rust-sdk python3 - <<'PYTHON'
import os, subprocess, sys
sys.path.insert(0, os.getcwd())
from kvs_mock import Mock

STREAM = "rust-stream"
with Mock() as mock:
    def check(*arguments):
        subprocess.run([os.environ["SDK"], *arguments], env=mock.environment(), check=True, timeout=120)

    check("control", mock.endpoint, STREAM)
    fragments = mock.put(os.environ["CLIP"], "--stream", STREAM)["fragments_persisted"]
    assert fragments >= 5, fragments
    check("media", mock.endpoint, STREAM, str(fragments))
print(f"the SDK for Rust made a stream and read its {fragments} fragments in 2 ways")
PYTHON
