"""Where the `provision` command starts."""

from provisioner.cli import main

if __name__ == "__main__":
    main()
