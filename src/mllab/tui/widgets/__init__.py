"""Widgets that are given data and say what happened by messages; they know nothing of a store."""
