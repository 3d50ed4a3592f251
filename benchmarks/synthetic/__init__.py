"""Runs, params and curves made up to look like a team's: vectorised, seeded, the same every time."""
