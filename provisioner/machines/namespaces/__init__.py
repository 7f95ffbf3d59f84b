"""A lab's own namespaces and cgroup on Linux: what holds its network, its mounts and all of its processes."""
