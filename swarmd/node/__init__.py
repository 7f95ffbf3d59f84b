"""This node's life in a cluster: how it enters, takes part as worker or manager, changes between them, and leaves."""
