"""A cluster of dask behind the daemon: who dies there, what is told of it, and what is not let in."""

from __future__ import annotations

import datetime as dt
import ipaddress
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.system.clusters import NOTHING_INSTALLED, OLD_RELEASE, DaskCluster
from tests.system.daemons import Daemon, Peer, merged, wait_for
from tests.system.factories import plane
from tests.system.obedience import Obedience

import octree_client
from octree_protocol.keys import ChunkKey
from octree_protocol.messages import Announce, ClusterStatus

Start = Callable[..., Daemon]

AT_ONCE: dict[str, Any] = {
    "octree": {"tile_size": 64, "loaders": {}},
    "loader_defaults": {"delay_queue_ms": 0, "num_workers": 2},
}

#: Python takes seconds to import what a worker of dask needs, and several of them start at once on two processors.
THERE = 40.0


#: For tests that use the module's cluster.
replaces = pytest.mark.leaves_behind("who takes the place of those that it killed")


@pytest.fixture(scope="module")
def cluster(module_folder: Path) -> Iterator[DaskCluster]:
    """A scheduler and two workers; whoever kills one starts another."""
    folder = module_folder / "cluster"
    folder.mkdir()
    with DaskCluster(folder) as cluster:
        cluster.start_scheduler()
        cluster.start_worker()
        cluster.start_worker()
        yield cluster


@pytest.fixture(scope="module")
def image(module_folder: Path) -> Obedience:
    return Obedience(module_folder / "image")


@pytest.fixture(scope="module")
def daemon(start_module_daemon: Start, cluster: DaskCluster, image: Obedience) -> Iterator[Daemon]:
    datasets = {"image": image.source, "graph": {"source": "tests.system.factories:graph", "levels": "stored"}}
    daemon = start_module_daemon(merged(AT_ONCE, {"dask": {"scheduler": cluster.address}, "datasets": datasets}))
    yield daemon
    daemon.end()


@pytest.fixture
def peer(daemon: Daemon, image: Obedience) -> Iterator[Peer]:
    wait_for(lambda: state_of(daemon).workers == 2, THERE, "two workers")
    image.forgive()
    with Peer(daemon.address) as peer:
        yield peer
        peer.want([])
        peer.until(lambda: daemon.status().arena.wanted == 0)
        assert all(pool.loading == 0 for pool in daemon.status().pools)


def state_of(daemon: Daemon) -> ClusterStatus:
    cluster = daemon.status().cluster
    assert cluster is not None
    return cluster


def row(peer: Peer, number: int, name: str = "image") -> list[ChunkKey]:
    """Chunks that no other test of the same daemon has read."""
    dataset = peer.describe(name)
    return [dataset.key(0, (number, column)) for column in range(8)]


# --- workers and schedulers die --------------------------------------------------------------------------------------


@replaces
def test_what_a_dead_worker_was_reading_is_read_by_another(
    cluster: DaskCluster, daemon: Daemon, image: Obedience, peer: Peer
) -> None:
    keys = row(peer, 0)
    with image.held():
        peer.want(keys)
        peer.until(lambda: daemon.status().pools[0].loading >= 4, 10.0)
        cluster.kill(cluster.workers[0])
    peer.until(lambda: peer.settled(keys), 20.0)
    assert not peer.failed
    cluster.start_worker()


@replaces
def test_the_scheduler_dies_and_comes_back_and_no_chunk_is_lost(
    cluster: DaskCluster, daemon: Daemon, image: Obedience, peer: Peer
) -> None:
    keys = row(peer, 1)
    with image.held():
        peer.want(keys)
        peer.until(lambda: daemon.status().pools[0].loading > 0, 10.0)
        cluster.kill_scheduler()
        peer.until(lambda: state_of(daemon).workers == 0)
    cluster.start_scheduler()
    cluster.replace_ended()
    peer.until(lambda: peer.settled(keys), THERE)
    assert not peer.failed


def test_a_cluster_that_stays_away_is_told_to_status_and_viewers(start_daemon: Start, folder: Path) -> None:
    image = Obedience(folder / "image")
    dask = {"dask": {"scheduler": "tcp://127.0.0.1:9", "fallback": True, "patience_ms": 300}}
    daemon = start_daemon(merged(AT_ONCE, dask, {"datasets": {"image": image.source}}))
    with octree_client.connect(daemon.address) as session:
        np.testing.assert_array_equal(session.dataset().levels[0][...], plane(0, (512, 512)))
        status = session.status()
        assert {pool.backend for pool in status.pools} == {"processes"}
        assert status.cluster is not None
        assert (status.cluster.state, status.cluster.fallback) == ("away", True)
        assert "tcp://127.0.0.1:9 does not answer" in status.cluster.problem
        wait_for(lambda: "processes of its own" in session.connection.notice, 5.0)
    with Peer(daemon.address) as late:
        late.until(lambda: any(isinstance(m, Announce) and m.notice for m in late.heard))
    assert "falls back to processes" in daemon.words()


def test_pools_fall_back_and_return(start_daemon: Start, folder: Path) -> None:
    image = Obedience(folder / "image")
    with DaskCluster(folder) as cluster:
        dask = {"dask": {"scheduler": cluster.address, "fallback": True, "patience_ms": 500}}
        daemon = start_daemon(merged(AT_ONCE, dask, {"datasets": {"image": image.source}}))
        with Peer(daemon.address) as peer:
            first = row(peer, 0)
            peer.want(first)
            peer.until(lambda: peer.settled(first), 20.0)
            assert state_of(daemon).fallback
            cluster.start_scheduler()
            worker = cluster.start_worker()
            peer.until(lambda: state_of(daemon).workers == 1, THERE)
            second = row(peer, 1)
            peer.want(second)
            peer.until(lambda: peer.settled(second), 20.0)
            assert not peer.failed
            assert {pool.backend for pool in daemon.status().pools} == {"dask"}
            assert {read.pid for read in image.reads() if read.chunk[1] == 1} == {worker.pid}
            assert len(daemon.workers()) == 1  # who talks to the cluster
            cluster.kill_scheduler()
            third = row(peer, 2)
            peer.want(third)
            peer.until(lambda: peer.settled(third), 20.0)
            assert not peer.failed
        daemon.end()


# --- nobody wants it any more ----------------------------------------------------------------------------------------


def test_what_nobody_wants_any_more_is_never_read(daemon: Daemon, image: Obedience, peer: Peer) -> None:
    begun = row(peer, 2)
    with image.held():
        peer.want([*begun, *row(peer, 3)])
        peer.until(lambda: daemon.status().pools[0].loading >= 4, 10.0)
        peer.want([])
        # What is being read goes on; what lay ready at a worker does not.
        peer.until(lambda: daemon.status().pools[0].loading <= 2, 10.0)
    peer.until(lambda: daemon.status().pools[0].loading == 0, 10.0)
    assert len([read for read in image.reads() if read.chunk[1] in (2, 3)]) <= 2


# --- graphs ----------------------------------------------------------------------------------------------------------


def test_the_graph_of_a_dask_array_is_computed_by_the_cluster(cluster: DaskCluster, daemon: Daemon, peer: Peer) -> None:
    del peer
    with octree_client.connect(daemon.address) as session:
        voxels = session.dataset("graph").levels[0][...]
    assert set(np.unique(voxels)) <= {worker.pid for worker in cluster.workers}


# --- a cluster of the daemon's own -----------------------------------------------------------------------------------


def test_our_own_cluster_replaces_its_dead_and_ends_with_the_daemon(start_daemon: Start, folder: Path) -> None:
    image = Obedience(folder / "image")
    own = {"dask": {"scheduler": "local", "workers": 2}, "loader_defaults": {"load_timeout_ms": 3000}}
    daemon = start_daemon(merged(AT_ONCE, own, {"datasets": {"image": image.source}}))
    with Peer(daemon.address) as peer:
        peer.until(lambda: state_of(daemon).workers == 2, THERE)
        # A chunk that kills whoever reads it fails, and no other.
        image.order("kill", 0, 0, 3)
        keys = row(peer, 0)
        peer.want(keys)
        peer.until(lambda: peer.settled(keys), THERE)
        assert set(peer.failed) == {keys[3]}
        assert "the worker died while reading it" in peer.failed[keys[3]]
        # One that hangs is ended, and its chunk tried once more.
        peer.until(lambda: state_of(daemon).workers == 2, THERE)
        hanging = image.order("hang", 0, 1, 0)
        keys = row(peer, 1)
        peer.want(keys)
        peer.until(lambda: "is ended: no answer" in daemon.words(), 15.0)
        hanging.unlink()
        peer.until(lambda: peer.settled(keys), THERE)
        assert not set(peer.failed) & set(keys)
    listening = {c.laddr.ip for p in daemon.descendants() for c in p.net_connections("tcp") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    family = daemon.descendants()
    daemon.signal(signal.SIGKILL)
    assert psutil.wait_procs(family, timeout=10.0)[1] == []


# --- who is let in ---------------------------------------------------------------------------------------------------


def test_workers_without_this_octree_serve_are_clear_errors(start_daemon: Start, folder: Path) -> None:
    with DaskCluster(folder) as cluster:
        cluster.start_scheduler()
        unfit = {cluster.start_worker(preload=preload) for preload in (NOTHING_INSTALLED, OLD_RELEASE)}
        daemon = start_daemon(merged(AT_ONCE, {"dask": {"scheduler": cluster.address, "patience_ms": 500}}))
        for reason in ("octree-serve is not installed there; install", "octree-serve 0.0.9 is installed there,"):
            wait_for(lambda reason=reason: f"cannot load chunks: {reason}" in daemon.words(), THERE, reason)
        assert state_of(daemon).workers == 0
        assert all(worker.poll() is None for worker in unfit)
        daemon.end()


def test_with_tls_nobody_without_a_certificate_is_served(start_daemon: Start, folder: Path) -> None:
    ours, others = make_keys(folder, "ours"), make_keys(folder, "others")
    image = Obedience(folder / "image")
    with DaskCluster(folder, keys=ours) as cluster:
        cluster.start_scheduler()
        cluster.start_worker()

        def start(keys: dict[str, str], name: str) -> Daemon:
            dask = {"dask": {"scheduler": cluster.address, "patience_ms": 500, **keys}}
            return start_daemon(merged(AT_ONCE, dask, {"datasets": {"image": image.source}}), name=name)

        good, bad = start(ours, "good"), start(others, "bad")
        wait_for(lambda: state_of(good).workers == 1, THERE, "a worker")
        with Peer(good.address) as peer:
            keys = row(peer, 0)
            peer.want(keys)
            peer.until(lambda: peer.settled(keys), 20.0)
            assert not peer.failed
        wait_for(lambda: state_of(bad).state == "away", 20.0)
        assert state_of(bad).workers == 0
        assert "does not answer" in state_of(bad).problem
        good.end()
        bad.end()


def make_keys(folder: Path, name: str) -> dict[str, str]:
    """An authority, and a certificate of it for everybody on this machine."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {name}")])

    def certify(subject: x509.Name, public: ec.EllipticCurvePublicKey, is_authority: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        )
        return builder.sign(authority_key, hashes.SHA256())

    member = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "member")])
    pem = serialization.Encoding.PEM
    content = {
        "ca": certify(authority, authority_key.public_key(), True).public_bytes(pem),
        "cert": certify(member, key.public_key(), False).public_bytes(pem),
        "key": key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }
    files = {}
    for part, data in content.items():
        files[part] = str(folder / f"{name}-{part}.pem")
        Path(files[part]).write_bytes(data)
    return files
