"""Runs `kvs mock` for a script, as a context manager."""

import json
import os
import signal
import subprocess

KVS = os.environ["KVS"]


class Mock:
    """A running mock; its first line of output says where it is and whom it trusts."""

    def __init__(self, *args, key="AKIDINTEROP", secret="interop-secret"):
        self.key, self.secret = key, secret
        self.process = subprocess.Popen(
            [KVS, "mock", "--listen", "127.0.0.1:0", "--credentials", f"{key}:{secret}", *args],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, "kvs mock ended without a word"
        self.facts = json.loads(line)
        self.endpoint = self.facts["endpoint"]
        self.region = self.facts["region"]
        assert self.facts["access_key_id"] == key, self.facts

    def environment(self):
        """The environment of a client that the mock trusts."""
        return {**os.environ, "AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret,
                "AWS_REGION": self.region}

    def put(self, *args):
        """Runs `kvs put` against the mock and returns its summary."""
        done = subprocess.run([KVS, "put", *args, "--endpoint", self.endpoint, "--json"], env=self.environment(),
                              stdout=subprocess.PIPE, text=True, timeout=120)
        assert done.returncode == 0, f"kvs put: exit status {done.returncode}"
        return json.loads(done.stdout.splitlines()[-1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30)
        assert status == 0, f"kvs mock: exit status {status}"
