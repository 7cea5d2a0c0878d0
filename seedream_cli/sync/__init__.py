"""Images as build artefacts: a reviewed manifest, a lock, and a plan of what is to be done.

These rooms are pure: they read a manifest, a lock and files, and tell what follows. Nothing here
prints, talks to the network, or knows of a terminal.
"""
