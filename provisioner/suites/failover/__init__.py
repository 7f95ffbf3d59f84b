"""``failover``: plays scenarios of chaos on the lab and judges what they showed. Destructive: by name only."""

IMAGES = ("busybox",)
