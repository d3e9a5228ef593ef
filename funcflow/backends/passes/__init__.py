"""Rewrites of jaxprs, one per file; `backends/pipeline.py` says in which order they run."""
