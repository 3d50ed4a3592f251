"""The terminal UI in a browser on this machine: textual-serve, with a lock on its door."""
