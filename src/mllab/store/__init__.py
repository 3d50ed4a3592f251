"""Durable truth: segments, sealing, manifests, blobs. Writing needs the standard library alone."""
