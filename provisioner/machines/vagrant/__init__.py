"""Virtual machines through Vagrant: the provider for laptops, and for what a container cannot show."""
