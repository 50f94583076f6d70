"""The keeper: a small process, one for each home, that starts attempts, outlives the engine and reaps them.

It runs as `python -I -S __main__.py start HOME VERSION` and imports nothing but the standard library's light modules
(neither `typing` nor `dataclasses`), since its memory is there for as long as anything runs.
"""
