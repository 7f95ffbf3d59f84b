"""The checks: pytest-testinfra suites that prove a lab over ssh, on every provider and both engines.

Each sub-folder is a suite. `provisioner.checks` runs them; docs/checks.md says how to write one. They speak to a
swarm through the stock docker CLI on its hosts and nothing else, so that they hold for every engine behind it.
"""
