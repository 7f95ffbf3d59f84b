"""The inventory provider: machines that are there already and that ssh reaches, given as an Ansible inventory."""
