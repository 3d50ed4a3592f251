"""The study behind ``mllab demo``: flight delays, two model families, ten tracked runs.

It uses mllab as any user would, through :func:`mllab.start_run` and :func:`mllab.sql`, and knows nothing
of terminals: whoever starts it hears of its progress through :class:`mllab.demo.progress.Progress`.
"""
