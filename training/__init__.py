"""Builds the checkpoints that the service loads. Run as ``python -m training <command>``."""
