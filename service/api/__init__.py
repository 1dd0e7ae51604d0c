"""The edge: HTTP in, HTTP out. It reads bytes, calls the core and writes answers; it does no geometry of
its own.
"""
