"""The sub-commands of ``astrollava-train``.

A module with one has ``add_parser(commands)``: it adds its parser and sets ``work`` on it, the
function that is called with what was given.
"""
