"""A pool of workers that share a queue of jobs."""

import tasklets

# A QueueChannel stores values: send() waits only while two are stored already, so that
# who makes the jobs never gets far ahead of those who do them.
jobs = tasklets.QueueChannel(2)
results = tasklets.QueueChannel()  # stores any number


def worker(name):
    """Do one job after the other, until there are no more."""
    for job in jobs:
        for _ in range(5):
            tasklets.schedule()  # real work would wait for something here
        results.send((job, job**3, name))


def produce():
    """Make the jobs, then say that these were all."""
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
