"""Lab hosts as LXC system containers, in network, mount and cgroup namespaces of the lab alone."""
