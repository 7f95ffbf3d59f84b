"""What each node runs: it keeps a session with the leading manager, and its tasks on the local engine."""
