"""The core: numpy pictures in, hands out. Nothing here knows of the web."""
