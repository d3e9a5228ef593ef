"""Jaxprs over small arrays as straight code on their elements; see `code.py`."""
