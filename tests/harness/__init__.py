"""What tests, demo and benchmarks run against: real servers, privately started."""
