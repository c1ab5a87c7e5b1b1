"""Everything of the PyPI client `openshell` that takes a supervisor, against a running gateway, and what is hard on it.

Usage: work.py ENDPOINT IMAGE [--python IMAGE]

The client is used as it is published. Prints one line a step; the first thing that is not as it should be ends it with a
traceback. `--python` names an image that can run Python with cloudpickle, for `exec_python`.
"""

import argparse
import hashlib
import io
import pathlib
import tarfile
import threading
import time

import cloudpickle
import grpc
from openshell import SandboxClient
from openshell._proto import openshell_pb2
from openshell.sandbox import ExecChunk, ExecResult

WORKSPACE = "default"
WAITS = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
OUTPUT = 50_000_000
AT_ONCE = 50
PATIENT = ["sleep", "61"]
STUBBORN = ["sh", "-c", "trap '' TERM; sleep 62 & echo said; wait"]


class Made:
    """A sandbox that is ready, for as long as the block lasts."""

    def __init__(self, client: SandboxClient, image: str, command: list[str] = WAITS) -> None:
        template = openshell_pb2.SandboxTemplate(image=image)
        self.client = client
        self.spec = openshell_pb2.SandboxSpec(template=template, command=command)

    def __enter__(self) -> "Made":
        made = self.client.create(workspace=WORKSPACE, spec=self.spec)
        self.name, self.id = made.name, made.id
        try:
            ready = self.client.wait_ready(self.name, workspace=WORKSPACE, timeout_seconds=60)
            assert ready.id == self.id, ready
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self.client.delete(self.name, workspace=WORKSPACE)
        self.client.wait_deleted(self.name, workspace=WORKSPACE, timeout_seconds=60)

    def exec(self, *command: str, **more) -> ExecResult:
        return self.client.exec(self.id, command, **more)

    def running(self, command: list[str]) -> bool:
        """Whether a process that was started with exactly these words runs in the sandbox."""
        script = 'for f in /proc/[0-9]*/cmdline; do test "$(tr "\\0" " " <$f)" = "$0 " && exit 0; done; exit 1'
        return self.exec("sh", "-c", script, " ".join(command)).exit_code == 0


def refusal(call) -> grpc.RpcError:
    """What a call fails with; a call that succeeds is the failure here."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"expected an error, got {answer!r}")


def work(made: Made) -> None:
    assert made.exec("echo", "hello") == ExecResult(0, "hello\n", "")
    script = "echo $GIVEN; pwd; cat; echo wrong >&2; exit 42"
    result = made.exec("sh", "-c", script, workdir="/tmp", env={"GIVEN": "value"}, stdin=b"from here\n")
    assert result == ExecResult(42, "value\n/tmp\nfrom here\n", "wrong\n"), result
    assert made.exec("sh", "-c", "kill -9 $$").exit_code == 137
    print("exec: ok")

    began, pieces = time.monotonic(), []
    for item in made.client.exec_stream(made.id, ["sh", "-c", "echo one; sleep 1; echo two >&2"]):
        pieces.append((item, time.monotonic() - began))
    (one, first), (two, second), (result, _) = pieces
    assert one == ExecChunk("stdout", b"one\n") and two == ExecChunk("stderr", b"two\n"), pieces
    assert second - first > 0.5, f"what was printed first came with the last: {pieces}"
    assert result == ExecResult(0, "one\n", "two\n"), pieces
    session = made.client.get_session(made.name, workspace=WORKSPACE)
    assert session.exec(["echo", "session"]).stdout == "session\n"
    print("exec_stream, session: ok")


def wrong(made: Made) -> None:
    missing = made.exec("no-such-program")
    assert missing.exit_code == 127 and "no-such-program" in missing.stderr, missing
    forbidden = made.exec("/etc/passwd")
    assert forbidden.exit_code == 126 and "/etc/passwd" in forbidden.stderr, forbidden
    nowhere = made.exec("true", workdir="/no/such/directory")
    assert nowhere.exit_code != 0 and "/no/such/directory" in nowhere.stderr, nowhere
    print("what cannot be started: ok:", missing.stderr.strip())

    began = time.monotonic()
    late = made.exec(*PATIENT, timeout_seconds=1)
    took = time.monotonic() - began
    assert late.exit_code == 124 and took < 5, (late, took)
    # One that does not care for SIGTERM, with a child that holds its output open.
    stubborn = made.exec(*STUBBORN, timeout_seconds=1)
    assert stubborn.exit_code == 124 and stubborn.stdout == "said\n", stubborn
    for left in [PATIENT, STUBBORN, ["sleep", "62"]]:
        assert not made.running(left), f"{left} is left"
    print(f"timeout: ok: {took:.2f} s")

    error = refusal(lambda: made.client.exec("no-such-sandbox", ["true"]))
    assert error.code() == grpc.StatusCode.NOT_FOUND, error
    error = refusal(lambda: made.exec("true", env={"OPENSHELL_SANDBOX_ID": "mine"}))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and "OPENSHELL_SANDBOX_ID" in error.details(), error
    print("refusals: ok")


def stdin(made: Made) -> None:
    """What goes in by one message: all of it, unread as well, and a word about what is too much for one."""
    data = bytes(range(256)) * 15_000
    digest = hashlib.sha256(data).hexdigest()
    assert made.exec("sha256sum", stdin=data).stdout.split()[0] == digest
    both = b"".join(
        item.data
        for item in made.client.exec_stream(made.id, ["cat"], stdin=data)
        if isinstance(item, ExecChunk) and item.stream == "stdout"
    )
    assert hashlib.sha256(both).hexdigest() == digest, len(both)
    assert made.exec("true", stdin=data) == ExecResult(0, "", "")
    assert made.exec("head", "-c", "3", stdin=b"abcdef" * 600_000).stdout == "abc"
    error = refusal(lambda: made.exec("sha256sum", stdin=bytes(5_000_000)))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
    assert "too large" in error.details() and "4194304" in error.details(), error
    print("stdin: ok:", error.details())


def slow(made: Made) -> None:
    """A reader that stops holds up nobody else, gets all of it when it goes on, and leaves nothing when it goes away."""
    command = ["sh", "-c", f"yes 0123456789abcde | head -c {OUTPUT}"]
    expected = hashlib.sha256((b"0123456789abcde\n" * (OUTPUT // 16 + 1))[:OUTPUT]).hexdigest()
    reading = made.client.exec_stream(made.id, command)
    first = next(reading)
    began = time.monotonic()
    for number in range(20):
        assert made.exec("echo", str(number)).stdout == f"{number}\n"
    others = time.monotonic() - began
    time.sleep(2)
    # It is as stuck as its reader: what was printed waits in the sandbox, and nowhere else.
    assert made.running(command), "50 MB went somewhere, and nobody has read them"
    digest, length, began = hashlib.sha256(first.data), len(first.data), time.monotonic()
    for item in reading:
        if isinstance(item, ExecChunk):
            assert item.stream == "stdout", item
            digest.update(item.data)
            length += len(item.data)
        else:
            assert item.exit_code == 0, item.exit_code
    rate = OUTPUT / (time.monotonic() - began) / 1e6
    assert (length, digest.hexdigest()) == (OUTPUT, expected), length
    print(f"a reader that stops: ok: 20 others in {others:.2f} s, then {rate:.0f} MB/s")

    command = ["yes", "leaving"]
    leaving = made.client.exec_stream(made.id, command)
    next(leaving)
    assert made.running(command)
    leaving.close()
    deadline = time.monotonic() + 10
    while made.running(command):
        assert time.monotonic() < deadline, "it outlives its client"
        time.sleep(0.1)
    print("a reader that goes away: ok")


def hasty(endpoint: str, made: Made) -> None:
    """A client that has waited long enough takes its command along."""
    with SandboxClient(endpoint, timeout=1.0) as client:
        error = refusal(lambda: client.exec(made.id, PATIENT))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    deadline = time.monotonic() + 10
    while made.running(PATIENT):
        assert time.monotonic() < deadline, "it outlives its client's patience"
        time.sleep(0.1)
    print("deadline: ok")


def at_once(made: Made) -> None:
    found: dict[int, object] = {}

    def one(number: int) -> None:
        try:
            found[number] = made.exec("sh", "-c", f"cat; echo {number}; sleep 0.2; exit {number}", stdin=b"in ")
        except Exception as error:  # told by the thread that waits
            found[number] = error

    began = time.monotonic()
    threads = [threading.Thread(target=one, args=[number]) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(AT_ONCE):
        assert found[number] == ExecResult(number, f"in {number}\n", ""), (number, found[number])
    print(f"{AT_ONCE} at once: ok: {time.monotonic() - began:.2f} s")


def runs_on(made: Made) -> tuple[threading.Thread, list[object]]:
    """Starts a command that does not end by itself; how it ends will be in the list."""
    ended: list[object] = []

    def waits() -> None:
        try:
            ended.append(made.exec(*PATIENT))
        except Exception as error:  # looked at by `end_of`
            ended.append(error)

    waiting = threading.Thread(target=waits)
    waiting.start()
    deadline = time.monotonic() + 10
    while not made.running(PATIENT):
        assert time.monotonic() < deadline, "it does not start"
    return waiting, ended


def end_of(ended: object, phase: str) -> str:
    """The end of a command in words: the sandbox's main process took it along, or the error says what became of it."""
    if isinstance(ended, ExecResult):
        assert ended.exit_code in (137, 143), ended
        return f"exit code {ended.exit_code}"
    assert isinstance(ended, grpc.RpcError), ended
    assert phase in ended.details() or ended.code() == grpc.StatusCode.NOT_FOUND, ended
    return ended.details()


def stop_and_start(made: Made) -> None:
    client = made.client
    made.exec("sh", "-c", "echo kept >/sandbox/file")
    waiting, ended = runs_on(made)
    client.stop(made.name, workspace=WORKSPACE)
    stopped = client.wait_stopped(made.name, workspace=WORKSPACE, timeout_seconds=60)
    assert stopped.phase == openshell_pb2.SANDBOX_PHASE_STOPPED, stopped
    waiting.join(timeout=10)
    assert ended, "an exec outlives its sandbox"
    told = end_of(ended[0], "STOP")
    error = refusal(lambda: made.exec("true"))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert made.name in error.details() and "STOPPED" in error.details(), error
    client.start(made.name, workspace=WORKSPACE)
    client.wait_ready(made.name, workspace=WORKSPACE, timeout_seconds=60)
    assert made.exec("cat", "/sandbox/file").stdout == "kept\n"
    print("stop, start: ok:", told, "/", error.details())


def own_cloudpickle() -> bytes:
    """The client's cloudpickle as an archive: only its own version reads what it writes, and images have others."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        folder = pathlib.Path(cloudpickle.__file__).parent
        for file in folder.glob("*.py"):
            tar.add(file, f"cloudpickle/{file.name}")
    return archive.getvalue()


def python(client: SandboxClient, image: str) -> None:
    offset = 40

    def adds(more: int, *, times: int) -> int:
        import os

        assert os.environ["GIVEN"] == "value"
        return (offset + more) * times

    def fails() -> None:
        raise ValueError("as it should")

    with Made(client, image) as made:
        unpacked = made.exec("tar", "-x", "-C", "/sandbox", stdin=own_cloudpickle())
        assert unpacked == ExecResult(0, "", ""), unpacked
        env = {"PYTHONPATH": "/sandbox"}
        given = {**env, "GIVEN": "value"}
        result = client.exec_python(made.id, adds, args=[2], kwargs={"times": 10}, env=given)
        assert result == ExecResult(0, "420\n", ""), result
        result = client.exec_python(made.id, fails, env=env)
        assert result.exit_code == 1 and "ValueError: as it should" in result.stderr, result
        session = client.get_session(made.name, workspace=WORKSPACE)
        assert session.exec_python(lambda: "session", env=env).stdout == "session\n"
        sleeps = lambda: __import__("time").sleep(60)
        result = client.exec_python(made.id, sleeps, env=env, timeout_seconds=2)
        assert result.exit_code == 124, result
    print("exec_python: ok")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("image")
    parser.add_argument("--python")
    args = parser.parse_args()
    with SandboxClient(args.endpoint) as client:
        with Made(client, args.image) as made:
            for step in [work, wrong, stdin, slow, at_once, stop_and_start]:
                step(made)
            hasty(args.endpoint, made)
            waiting, ended = runs_on(made)
        waiting.join(timeout=10)
        assert ended, "an exec outlives its sandbox"
        print("delete: ok:", end_of(ended[0], "DELETING"))
        error = refusal(lambda: made.exec("true"))
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        if args.python:
            python(client, args.python)
    print("work: ok")


if __name__ == "__main__":
    main()
