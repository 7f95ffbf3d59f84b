"""Chaos: scenarios that break hosts of a lab on purpose, and what they must show.

What's here, by role: ``scenario`` (expectations, bounds) with a module per scenario; ``experiment`` (one run);
``workload`` and ``bystanders`` (what goes on meanwhile); ``history`` and ``timeline`` (what is kept);
``watching`` and ``sights`` (what is looked for); ``verdict`` (pure); ``healing`` and ``rejoining`` (the way back);
``outcome`` (values); ``command`` (what `provision chaos` does). The suite ``failover`` judges the outcomes.
"""
