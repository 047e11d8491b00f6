"""All workloads by name, in the order of the table."""

from benchmarks import bench_birth, bench_channel, bench_schedule, bench_threads

WORKLOADS = {
    name: workload
    for module in (bench_schedule, bench_channel, bench_birth, bench_threads)
    for name, workload in module.WORKLOADS.items()
}
