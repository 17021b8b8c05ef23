"""Stand-ins of the outside services, for the demo, tests and benchmarks. They talk HTTP and import no domain."""
