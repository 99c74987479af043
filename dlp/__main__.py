"""`python -m dlp`: the command line without an installed script."""

from dlp.cli.main import main

if __name__ == "__main__":
    main()
