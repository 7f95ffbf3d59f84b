"""A service's life as a user sees it: created, scaled, repaired, removed, and published on every host."""

IMAGES = ("busybox", "tomcat")
