"""A stand-in for the image generation API: runs on this machine, answers as the service does, costs nothing.

Nothing is imported here: ``seedream sandbox --help`` reads the table of faults without loading a server.
"""
