"""The address of a cluster and the folder of a local Ray are tried before Ray is."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.pool import ray_environment
from cluster.pool.ray_environment import check_address, cluster_address, ray_folder
from cluster.pool.ray_launcher import connect
from depara.errors import ClusterError


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_ADDRESS", "RAY_USE_TLS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def web_server() -> Iterator[str]:
    handler = http.server.BaseHTTPRequestHandler
    handler.log_message = lambda *_: None  # type: ignore[method-assign]
    server = http.server.HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("value", ["", "local", "  "])
def test_without_an_address_ray_is_local(environment: pytest.MonkeyPatch, value: str) -> None:
    assert cluster_address() is None
    environment.setenv("RAY_ADDRESS", value)
    assert cluster_address() is None
    environment.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert cluster_address() == "10.0.0.1:6379"


def test_an_address_where_nothing_listens_is_told_at_once(environment: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            with pytest.raises(ClusterError, match=r"nothing answers there .*unset RAY_ADDRESS"):
                check_address(address)


def test_the_dashboard_is_no_cluster(environment: pytest.MonkeyPatch, web_server: str) -> None:
    with pytest.raises(ClusterError, match="is another server, such as Ray's dashboard"):
        check_address(web_server)
    with pytest.raises(ClusterError, match="RAY_API_SERVER_ADDRESS"):
        check_address(f"http://{web_server}")


def test_what_listens_and_what_ray_looks_for_itself_is_left_to_ray(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setattr(ray_environment, "_ANSWER_S", 0.2)
    check_address("auto")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        check_address(f"127.0.0.1:{server.getsockname()[1]}")


def test_a_short_temporary_folder_is_rays_own_choice(environment: pytest.MonkeyPatch) -> None:
    with ray_folder() as folder:
        assert folder is None


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_temporary_folder_gets_a_short_link_that_goes_again(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    long = tmp_path / ("x" * 120)
    environment.setenv(name, str(long))
    with ray_folder() as folder:
        assert folder is not None
        socket_name = f"{folder}/session_2026-01-31_02-00-00_000000_1234567/sockets/plasma_store"
        assert len(socket_name) < 104
        Path(folder).mkdir()
        assert (long / "ray").is_dir()
    assert not os.path.lexists(folder)
    assert (long / "ray").is_dir()


def test_a_folder_that_cannot_be_used_is_named_with_the_setting(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    environment.setenv("TMPDIR", f"{tmp_path}/file/below")
    message = r"cannot write to its temporary folder TMPDIR=.*Not a directory: set RAY_TMPDIR"
    with pytest.raises(ClusterError, match=message), ray_folder():
        pass


def test_where_no_link_can_be_made_the_limit_and_the_setting_are_named(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("TMPDIR", str(tmp_path / ("x" * 120)))
    environment.setattr(ray_environment, "_SHORT", str(tmp_path / "none"))
    message = r"TMPDIR=.* is too long .* at most 10\d bytes, which leaves \d+ .*set RAY_TMPDIR"
    with pytest.raises(ClusterError, match=message), ray_folder():
        pass


@pytest.mark.parametrize("kind", [Exception, RuntimeError])
def test_a_ray_that_does_not_come_up_is_one_message(
    environment: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    import ray

    def init(**_: object) -> None:
        raise kind("The current node timed out\n during startup.")

    environment.setattr(ray, "is_initialized", lambda: False)
    environment.setattr(ray, "init", init)
    with (
        pytest.raises(ClusterError, match="cannot start a local Ray: The current node timed out d"),
        connect(),
    ):
        pass


def test_a_mistake_in_the_program_is_none_of_rays(environment: pytest.MonkeyPatch) -> None:
    import ray

    def init(**_: object) -> None:
        raise TypeError("no such option")

    environment.setattr(ray, "is_initialized", lambda: False)
    environment.setattr(ray, "init", init)
    with pytest.raises(TypeError, match="no such option"), connect():
        pass
