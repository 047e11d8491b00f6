"""A pool of workers that share a queue of jobs."""

import tasklets

# A QueueChannel stores values: send() waits only while two are stored, so the producer
# never gets far ahead of the workers.
jobs = tasklets.QueueChannel(2)
results = tasklets.QueueChannel()  # stores any number


def worker(name):
    """Do one job after another, until there are no more."""
    for job in jobs:
        for _ in range(5):
            tasklets.schedule()  # real work would wait here
        results.send((job, job**3, name))


def produce():
    """Make the jobs, then close the channel."""
    for job in range(6):
        jobs.send(job)
        print("job", job, "is out, stored:", len(jobs))
    jobs.close(wake=True)  # no more will come: idle workers end


workers = [tasklets.spawn(worker, name) for name in ("anna", "bert")]
tasklets.spawn(produce)
for each in workers:
    each.join()

results.close()
for job, cube, name in sorted(results):
    print("job", job, "gave", cube, "to", name)

# Output:
#   job 0 is out, stored: 0
#   ...
#   job 5 is out, stored: ...
#   job 0 gave 0 to anna
#   job 1 gave 1 to bert
#   ...
#   job 5 gave 125 to ...
