"""Plugins: packages that add to mllab through the hooks in :mod:`mllab.plugins.hookspecs`."""
