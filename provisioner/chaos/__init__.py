"""Chaos: scenarios that break hosts of a lab on purpose, and what they must show.

What's here, by role: ``scenario`` with a module per scenario; ``engines`` and ``bounds`` (what differs by engine);
``faults`` (what is done to a host that stays on); ``experiment`` (one run);
``workload`` and ``bystanders`` (what goes on meanwhile); ``history`` and ``timeline`` (what is kept);
``watching`` and ``sights`` (what is looked for); ``verdict`` (pure); ``healing`` and ``rejoining`` (the way back);
``outcome`` (values); ``command`` (what `provision chaos` does). The suite ``failover`` judges the outcomes.
"""
