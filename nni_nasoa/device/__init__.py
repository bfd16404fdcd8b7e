"""What it runs on: the device, its name and precision, its lock, turns, threads and signals."""
