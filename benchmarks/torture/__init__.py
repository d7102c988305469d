"""What pruncam survives: killed runs, many processes, damaged files, full disks, bad calls."""
