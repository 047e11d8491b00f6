"""All workloads by name, in the order of the table."""

from benchmarks import (
    bench_atomic,
    bench_birth,
    bench_channel,
    bench_files,
    bench_priority,
    bench_schedule,
    bench_threads,
    bench_time,
    bench_watchdog,
    bench_workers,
)

MODULES = (
    bench_schedule,
    bench_channel,
    bench_birth,
    bench_threads,
    bench_time,
    bench_priority,
    bench_watchdog,
    bench_atomic,
    bench_workers,
    bench_files,
)

WORKLOADS = {
    name: workload for module in MODULES for name, workload in module.WORKLOADS.items()
}
