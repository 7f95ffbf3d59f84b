"""Overlay networks: containers on different hosts reach each other, and nobody else."""

IMAGES = ("busybox",)
