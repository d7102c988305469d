"""Claims judged against the papers, results on disk, and the figures that several studies share."""
