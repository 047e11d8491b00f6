"""Objects that the collector has cleared while they were in use do not crash."""

from children import run_cases

from tasklets import _core, workers


def test_a_cleared_object_may_still_be_in_use(tmp_path, monkeypatch):
    output = run_cases(tmp_path, monkeypatch, "cleared.py")
    assert output.startswith("ok ")
    assert int(output.split()[1]) > 300


def test_a_pool_forgets_its_workers_only_in_the_child_of_a_fork():
    with workers.WorkerPool(1) as pool:
        assert pool.call(pow, 2, 5) == 32
        assert [core.after_fork() for core in _core.worker_pools()] == [
            [] for _ in _core.worker_pools()
        ]
        assert pool.call(pow, 2, 6) == 64
