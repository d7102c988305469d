"""Run every notebook, check the environment, and write the gallery and the README tables."""
