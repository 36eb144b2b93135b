"""Thin routes, one file per noun: parse, open a transaction, call the storage, answer."""

TAGS = [
    {"name": "devices", "description": "Machines that agents registered: hardware, last heartbeat, health of tables."},
    {"name": "jobs", "description": "What is to be measured: operations of a search space, or networks end to end."},
    {"name": "leases", "description": "How an agent gets a job, keeps it and ends it. People do not need these."},
    {"name": "measurements", "description": "Results with their samples; append-only, each exactly once."},
    {"name": "tables", "description": "Immutable latency tables: one device, environment, runtime and search space."},
    {
        "name": "calibrations",
        "description": "What tables learnt from measured networks; how far they are off.",
    },
    {
        "name": "predictions",
        "description": "What networks would cost, on one device or on all, with intervals.",
    },
    {
        "name": "networks",
        "description": "Networks found or submitted: predicted latency beside the measured one.",
    },
    {"name": "comparisons", "description": "Tables side by side: is one device faster, and do they rank alike?"},
    {"name": "tokens", "description": "Who may do what. Administrators only."},
    {"name": "health", "description": "Is the server there?"},
]
