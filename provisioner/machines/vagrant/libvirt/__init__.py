"""libvirt: run by ourselves in a lab's namespaces, or the machine's own."""
