"""The headless verbs, a file for each family. They load neither the screen nor any part of the engine."""
