"""This manager's etcd member: how it is started, joins, recovers, is removed, and survives a quorum lost for good.

Everything that changes the membership is done in the order, and with the waits, that control-notes.md parts 1 to 3
found to work; what etcd does not check by itself is checked here.
"""
