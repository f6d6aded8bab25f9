#!/usr/bin/env python3
"""AWS's SDK for JavaScript (npm) against `kvs mock`: control plane, GetMedia and archived media of what `kvs put` sent."""

import os
import pathlib
import shutil
import subprocess

from kvs_mock import Mock

STREAM = "javascript-stream"
SOURCE = pathlib.Path(__file__).parent / "js"
WORK = pathlib.Path(os.environ["INTEROP_DIR"]) / "js"


def main():
    if not shutil.which("npm"):
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "nodejs", "npm"], check=True)
    WORK.mkdir(parents=True, exist_ok=True)
    for file in SOURCE.iterdir():
        shutil.copy(file, WORK)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=WORK, check=True)
    with Mock() as mock:
        def check(*arguments):
            subprocess.run(["node", "check.mjs", *arguments], cwd=WORK, env=mock.environment(), check=True, timeout=120)

        check("control", mock.endpoint, STREAM)
        fragments = mock.put(os.environ["CLIP"], "--stream", STREAM)["fragments_persisted"]
        assert fragments >= 5, fragments
        check("media", mock.endpoint, STREAM, str(fragments))
    print(f"the SDK for JavaScript made a stream and read its {fragments} fragments in 2 ways")


main()
