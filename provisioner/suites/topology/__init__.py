"""The swarm as its managers and every host see it: roles, leader, quorum, tokens."""
