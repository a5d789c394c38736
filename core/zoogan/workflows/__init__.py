"""Workflows: whole jobs with an opened run that write files, as functions for Python and for the command line.

Each takes a LoadedRun, saves what it makes and returns the paths or the results. None prints: notes for the person go
to the `notify` argument.
"""
