"""What the experiments add to a generated service: a job, bad upstreams, and two views."""
