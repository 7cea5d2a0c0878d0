"""Generate images with Seedream at APIPod from the command line."""

__version__ = "0.1.0"
#: What `--version` prints.
VERSION_LINE = f"seedream {__version__}\n"
