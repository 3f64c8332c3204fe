"""Benchmarks of studies on many machines: driver, idle workers, failures, hosts of one machine, GPU hours."""
