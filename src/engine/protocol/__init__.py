"""The words both sides speak: states, wire models, the event envelope, error codes.

Import the module that holds what you need. `states` needs nothing but the standard library, so that the
console can be on the screen before pydantic is loaded; the wire models need pydantic and nothing else.
"""
