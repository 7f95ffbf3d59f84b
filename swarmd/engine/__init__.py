"""The local Docker Engine: calls with deadlines, its events, and what a task becomes there."""
