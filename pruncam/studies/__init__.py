"""One module per study: a frozen Config and `run(config) -> StudyResult`."""
