"""The modules socket, select and selectors whose calls let other tasklets run.

Each has all the names of the standard library's, and subclasses of its classes.
"""
