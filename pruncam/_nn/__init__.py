"""Look inside a network: one forward survey of its layers, and its traced graph."""
