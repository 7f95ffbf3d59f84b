"""Each host by itself: its name, its way to the others, Docker on it, its disk and its systemd."""
