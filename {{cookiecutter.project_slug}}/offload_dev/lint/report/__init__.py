"""What becomes of findings: some may stay, and the others are printed."""
