"""The native API: what the worker contract does not say."""
