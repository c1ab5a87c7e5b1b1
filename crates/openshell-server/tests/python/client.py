"""Every call of the PyPI client `openshell` that a sandbox without a supervisor can answer, against a running gateway.

Usage: client.py ENDPOINT IMAGE [--token FILE] [--ca FILE --cert FILE --key FILE | --cluster NAME]

The client is used as it is published: no channel options, no subclass. Prints one line a step; the first thing that is not
as it should be ends it with a traceback.
"""

import argparse
import pathlib

import grpc
from openshell import SandboxClient, TlsConfig, WorkspaceClient
from openshell._proto import openshell_pb2


def connect(args: argparse.Namespace) -> SandboxClient:
    if args.cluster:
        return SandboxClient.from_active_cluster(cluster=args.cluster)
    tls = None
    if args.ca:
        cert = pathlib.Path(args.cert) if args.cert else None
        key = pathlib.Path(args.key) if args.key else None
        tls = TlsConfig(ca_path=pathlib.Path(args.ca), cert_path=cert, key_path=key)
    token = pathlib.Path(args.token).read_text().strip() if args.token else None
    return SandboxClient(args.endpoint, tls=tls, bearer_token=token)


def code_of(call) -> grpc.StatusCode:
    """The code that a call fails with; a call that succeeds is the failure here."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return error.code()
    raise AssertionError(f"expected an error, got {answer!r}")


def life(client: SandboxClient, image: str, workspace: str) -> None:
    spec = openshell_pb2.SandboxSpec(
        template=openshell_pb2.SandboxTemplate(image=image),
        command=["sleep", "600"],
        environment={"FROM": "python"},
    )
    made = client.create(workspace=workspace, spec=spec, labels={"client": "python"})
    assert made.id and made.name, made
    assert made.workspace == workspace, made
    assert made.phase == openshell_pb2.SANDBOX_PHASE_PROVISIONING, made
    print("create:", made.name)
    try:
        again = lambda: client.create(workspace=workspace, spec=spec, name=made.name)
        assert code_of(again) == grpc.StatusCode.ALREADY_EXISTS

        ready = client.wait_ready(made.name, workspace=workspace, timeout_seconds=60)
        assert ready.id == made.id, ready
        assert client.get(made.name, workspace=workspace).labels["client"] == "python"
        print("wait_ready, get: ok")

        assert made.id in client.list_ids(workspace=workspace)
        by_label = client.list(workspace=workspace, label_selector="client=python")
        assert [ref.id for ref in by_label] == [made.id], by_label
        assert client.list(workspace=workspace, label_selector="client!=python,client") == []
        assert client.list(workspace=workspace, offset=1000) == []
        assert made.id in client.list_ids_for_all_workspaces()
        print("list, list_ids: ok")

        assert client.stop(made.name, workspace=workspace).id == made.id
        stopped = client.wait_stopped(made.name, workspace=workspace, timeout_seconds=60)
        assert stopped.phase == openshell_pb2.SANDBOX_PHASE_STOPPED, stopped
        assert client.stop(made.name, workspace=workspace).phase == openshell_pb2.SANDBOX_PHASE_STOPPED
        print("stop, wait_stopped: ok")

        client.start(made.name, workspace=workspace)
        assert client.wait_ready(made.name, workspace=workspace, timeout_seconds=60).id == made.id
        print("start: ok")
    finally:
        deleted = client.delete(made.name, workspace=workspace)
        client.wait_deleted(made.name, workspace=workspace, timeout_seconds=60)
    assert deleted
    gone = lambda: client.get(made.name, workspace=workspace)
    assert code_of(gone) == grpc.StatusCode.NOT_FOUND
    print("delete, wait_deleted: ok")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("image")
    for name in ["token", "ca", "cert", "key", "cluster"]:
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    with connect(args) as client:
        health = client.health()
        assert health.status == openshell_pb2.SERVICE_STATUS_HEALTHY, health
        assert health.version, health
        print("health: ok")

        life(client, args.image, "default")

        workspaces = WorkspaceClient.from_sandbox_client(client)
        made = workspaces.create("from-python", labels={"client": "python"})
        assert made.name == "from-python", made
        try:
            assert "from-python" in [ref.name for ref in workspaces.list()]
            assert workspaces.get("from-python").phase == "WORKSPACE_PHASE_ACTIVE"
            life(client, args.image, "from-python")
        finally:
            assert workspaces.delete("from-python")
        print("workspaces: ok")


if __name__ == "__main__":
    main()
