"""PostgreSQL restored to a moment in the past, as docs/production.md says: no job hangs."""

from .cluster import WEBS, WORKERS, Cluster, wait_until_they_compute, wait_until_they_succeed


def test_after_a_restore_no_job_hangs_and_clients_are_told(cluster: Cluster) -> None:
    ended = [cluster.job(seconds=0.01)]
    wait_until_they_succeed(cluster, ended)
    cluster.postgres.back_up()
    running = [cluster.job(gate="restore") for _ in range(2)]
    wait_until_they_compute(cluster, running)
    waiting = [cluster.job(gate="restore") for _ in range(4)]
    cluster.postgres.mark()

    # What happens from here on is undone.
    cluster.open_gate("restore")
    wait_until_they_succeed(cluster, [*running, *waiting])
    later = cluster.new_job()
    with cluster.client() as client:
        assert later.post(client, key="of-later").status_code == 202
    undone = later.id
    wait_until_they_succeed(cluster, [later])

    # Nobody uses the database meanwhile.
    for name in (*WEBS, *WORKERS):
        cluster.stop(name)
    cluster.postgres.restore()
    cluster.until(cluster.postgres.answers, "the restored PostgreSQL")
    states = {job.row()[0] for job in running} | {job.row()[0] for job in waiting}
    assert "succeeded" not in states, "this is the past"
    for name in WORKERS:
        cluster.start_worker(name)
    for name in WEBS:
        cluster.start_web(name)

    # Those that have ended since then run again.
    wait_until_they_succeed(cluster, [*ended, *running, *waiting])
    assert len(ended[0].started_on()) == 1
    assert {len(job.started_on()) for job in [*running, *waiting]} == {2}
    # Those that were accepted since then are not there, and a client may ask for them again.
    assert cluster.get(f"/api/jobs/{undone}").status_code == 404
    with cluster.client() as client:
        assert later.post(client, key="of-later").status_code == 202
    assert later.id != undone
    wait_until_they_succeed(cluster, [later])
