"""Clusters of worker processes on this machine, which nothing outside it can reach."""

import contextlib

import pytest


@contextlib.contextmanager
def local_cluster(folder):
    """Run two worker processes that are quiet and leave nothing behind."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",  # None takes a fixed port
        scheduler_kwargs={"dashboard": False},
        local_directory=str(folder),
        memory_limit="2GiB",
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster


def pytest_collection_modifyitems(items):
    """Run in one process and last what needs a cluster, of which one is enough."""
    needs = {"cluster", "anywhere", "mortal_cluster"}
    for item in items:
        if not needs.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("cluster"))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is not None)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A cluster for all tests, none of which may harm its workers."""
    with local_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    """A client of the cluster of all tests; what it keeps there goes with it."""
    from distributed import Client

    with Client(cluster) as client:
        yield client


@pytest.fixture(params=["in this process", "on workers"])
def anywhere(request):
    """Have no cluster, and then one."""
    if request.param == "on workers":
        request.getfixturevalue("client")


@pytest.fixture(scope="module")
def mortal_cluster(tmp_path_factory):
    """A cluster for the tests of a file, which may kill its workers."""
    with local_cluster(tmp_path_factory.mktemp("mortal")) as cluster:
        yield cluster


@pytest.fixture
def mortal_client(mortal_cluster):
    """A client of a cluster whose workers may be killed."""
    from distributed import Client

    with Client(mortal_cluster) as client:
        yield client
