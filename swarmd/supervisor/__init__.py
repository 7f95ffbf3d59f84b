"""A small parent process that sees that the daemon is alive, and hands etcd's leadership on when it is not.

A daemon that hangs beside a healthy etcd keeps the cluster without a leader, because etcd sees nothing wrong
(control-notes.md part 4). This process is the one that notices: it uses the standard library only, keeps no state, and
stays below 12 MB.
"""
